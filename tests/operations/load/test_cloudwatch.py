"""CloudWatch is moto's server, spoken to over HTTP: what is outside is the only thing replaced."""

import datetime as dt
import socket

import boto3
import pytest
import requests
from django.utils import timezone

from operations.gates.load import cloudwatch, database_load, readings
from operations.gates.load.cloudwatch import RdsCpu
from operations.gates.load.reading import Unreadable
from tests.aws import REGION
from tests.operations.toy.kind import TOY

INSTANCE = "production-1"


@pytest.fixture(autouse=True)
def configured(settings):
    settings.LOAD_RDS_INSTANCE = INSTANCE
    settings.AWS_REGION = REGION
    cloudwatch._client.cache_clear()
    yield
    cloudwatch._client.cache_clear()


def put_cpu(percent, *, minutes_ago=1, instance=INSTANCE):
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/RDS",
        MetricData=[
            {
                "MetricName": "CPUUtilization",
                "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": instance}],
                "Timestamp": timezone.now() - dt.timedelta(minutes=minutes_ago),
                "Value": percent,
                "Unit": "Percent",
            }
        ],
    )


@pytest.fixture
def fresh_default_session(monkeypatch):
    """boto3's shared session, which `put_cpu` uses, of this test's environment."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


pytestmark = pytest.mark.usefixtures("fresh_default_session")


def cpu():
    return next(reading for reading in readings() if reading.signal == "Database CPU")


def test_rds_cpu_takes_the_newest_minute(aws):
    put_cpu(20.0, minutes_ago=3)
    put_cpu(91.5, minutes_ago=1)
    put_cpu(30.0, minutes_ago=2)
    figure = RdsCpu().read()
    assert figure.value == 91.5
    assert 60 <= (timezone.now() - figure.at).total_seconds() < 130


def test_rds_cpu_is_that_of_the_instance(aws):
    put_cpu(91.5, instance="somebody-elses")
    put_cpu(12.5)
    assert RdsCpu().read().value == 12.5


def test_rds_cpu_over_the_limit_makes_the_job_wait(aws, driver):
    put_cpu(86.2)
    operation = TOY.start()

    assert driver.run_to_end(operation) == ["waiting"]

    assert operation.waiting_reason == "Database CPU 86% > 80%."


def test_rds_cpu_without_recent_figures_is_unreadable_and_says_where_to_look(aws):
    put_cpu(20.0, minutes_ago=30)
    with pytest.raises(Unreadable, match=f"{INSTANCE} in {REGION}: check LOAD_RDS_INSTANCE"):
        RdsCpu().read()


def test_rds_cpu_of_a_server_that_is_down_is_unreadable(aws, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert address in cpu().error
        assert database_load(TOY) is None


def test_rds_cpu_with_wrong_credentials_is_unreadable_and_says_so(aws, moto_server):
    requests.post(f"{moto_server}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()
    try:
        assert "InvalidClientTokenId" in cpu().error
    finally:
        requests.post(f"{moto_server}/moto-api/reset-auth", data="inf", timeout=10)


def test_rds_cpu_without_credentials_is_read_as_soon_as_there_are_some(
    aws, monkeypatch, settings, tmp_path
):
    put_cpu(33.0)
    with monkeypatch.context() as nothing:
        nothing.delenv("AWS_ACCESS_KEY_ID")
        nothing.delenv("AWS_SECRET_ACCESS_KEY")
        nothing.setenv("AWS_EC2_METADATA_DISABLED", "true")
        nothing.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        nothing.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(Exception, match="locate credentials"):
            RdsCpu().read()
    assert RdsCpu().read().value == 33.0


def test_rds_cpu_is_not_configured_without_an_instance(settings):
    settings.LOAD_RDS_INSTANCE = ""
    assert RdsCpu().limit() is None
