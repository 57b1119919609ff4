"""Ids of any type, from any door: what can't be one is answered like what doesn't exist."""

import json
import uuid
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import strategies as st

from operations import runner, verbs
from operations.api.serializers import ControlSerializer, OutcomeSerializer
from operations.gates.report import as_dict, load_report
from operations.keys import as_json, key_of
from operations.models import Event
from operations.snapshots import snapshot
from tests.operations.toy.chore import CHORE
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import Chore, ChoreJob, ToyOperation

NOWHERE = "0198f000-0000-7000-8000-000000000000"
NO_KEYS = ["x", "", "-", "1.5", "1e3", "9" * 30, "0198f000", f"{NOWHERE}0", "\0", "%"]


@pytest.fixture
def chore(db):
    return Chore.objects.create(steps=[])


@pytest.mark.parametrize("model", [ToyOperation, Chore])
@pytest.mark.parametrize("text", NO_KEYS)
def test_key_of_what_is_none_is_none(model, text):
    assert key_of(model, text) is None


@given(st.text())
def test_key_of_any_text_raises_nothing(text):
    for model in (ToyOperation, Chore):
        key_of(model, text)


@given(st.one_of(st.integers(min_value=1, max_value=2**63 - 1), st.uuids()))
def test_key_of_reads_what_as_json_writes(key):
    model = ToyOperation if isinstance(key, int) else Chore
    written = json.loads(json.dumps(as_json(key)))
    assert key_of(model, written) == key
    assert key_of(model, str(key)) == key


def test_key_of_another_kinds_type_is_none():
    assert key_of(ToyOperation, NOWHERE) is None
    assert key_of(Chore, 12) is None


# --- through the queue ------------------------------------------------------------------


def test_delivery_of_a_uuid_is_a_text_that_a_worker_finds_the_job_by(chore):
    job = CHORE.start_run(chore, "sweep")
    [delivered] = OrmQ.objects.all()
    assert delivered.task["args"] == ("chore", str(job.pk))
    job.refresh_from_db()
    assert job.task_id == delivered.task["id"]
    assert runner.run(*delivered.task["args"]) == "completed"


def test_run_on_goes_on_with_the_jobs_that_follow_by_uuid(chore):
    job = CHORE.start_run(chore, "sweep", "dust", "polish")
    assert runner.run_on("chore", str(job.pk)) == "completed"
    chore.refresh_from_db()
    assert chore.has_status("PENDING")
    assert Event.objects.filter(name="chore.completed").count() == 1
    assert runner.run_on("chore", NOWHERE) == "not_taken"


def test_events_and_snapshots_name_a_uuid_as_text(chore):
    CHORE.start_run(chore, "sweep")
    assert snapshot(chore)["id"] == str(chore.pk)
    assert {event.payload["id"] for event in Event.objects.all()} == {str(chore.pk)}
    json.dumps(snapshot(chore))


def test_load_report_names_jobs_of_all_kinds(chore):
    job = CHORE.start_run(chore, "sweep")
    ChoreJob.objects.filter(pk=job.pk).update(not_before="2100-01-01T00:00Z")
    [kind] = [each for each in as_dict(load_report())["kinds"] if each["kind"] == "chore"]
    assert [each["job"] for each in kind["latency"]] == [str(job.pk)]
    out = StringIO()
    call_command("load_report", stdout=out)
    assert f"chore {chore.pk}, Sweep {job.pk}" in out.getvalue()


# --- from people ------------------------------------------------------------------------


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return client


def test_page_of_a_uuid_shows_it_and_its_words(client, chore):
    page = client.get(reverse("admin:toy_chore_change", args=[chore.pk])).text
    assert "Scheduled" in page
    assert f'data-operation="chore/{chore.pk}"' in page


@pytest.mark.parametrize("text", ["x", "12", NOWHERE])
def test_page_of_what_is_no_id_says_that_there_is_none(client, text):
    response = client.get(reverse("admin:toy_chore_change", args=[text]), follow=True)
    assert f"There is no chore “{text}”" in response.content.decode()


def test_list_is_searched_by_a_uuid_and_by_anything_else_in_vain(client, chore):
    url = reverse("admin:toy_chore_changelist")
    assert client.get(url, {"q": str(chore.pk)}).context["cl"].result_count == 1
    for text in ("x", "12", NOWHERE):
        assert client.get(url, {"q": text}).context["cl"].result_count == 0


def test_control_page_steers_a_uuid_and_finds_nothing_else(client, chore):
    assert client.post(f"/operations/chore/{chore.pk}/pause").status_code == 302
    chore.refresh_from_db()
    assert chore.has_status("PAUSED")
    for path in (f"chore/{NOWHERE}", "chore/x", "chore/12", f"toy/{NOWHERE}", "toy/x"):
        assert client.post(f"/operations/{path}/pause").status_code == 404


def test_apply_to_many_takes_texts_and_keys_and_each_once(chore):
    ids = [str(chore.pk), "x", chore.pk, str(chore.pk).upper(), NOWHERE]
    outcomes = verbs.apply_to_many("pause", Chore, ids, by=None)
    assert [each.operation_id for each in outcomes] == [chore.pk, "x", uuid.UUID(NOWHERE)]
    assert [each.refusal for each in outcomes] == [
        "",
        "There is no chore x.",
        f"There is no chore {NOWHERE}.",
    ]


def test_control_command_takes_ids_of_any_type(chore):
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 refused"):
        call_command("control", "pause", "chore", str(chore.pk), "12", stdout=out)
    assert f"chore {chore.pk}: asked to pause, now paused." in out.getvalue()
    assert "chore 12: There is no chore 12." in out.getvalue()
    out = StringIO()
    call_command("control", "resume", "chore", "--all", "--json", stdout=out)
    assert json.loads(out.getvalue()) == [{"id": str(chore.pk), "status": "pending", "refusal": ""}]


def test_control_of_many_over_http_sends_each_id_back_as_it_is(chore):
    toy = TOY.start()
    for model, key in ((Chore, str(chore.pk)), (ToyOperation, toy.pk)):
        asked = ControlSerializer(data={"verb": "pause", "ids": [key, "x"]})
        assert asked.is_valid(), asked.errors
        outcomes = verbs.apply_to_many("pause", model, asked.validated_data["ids"], by=None)
        assert [each["id"] for each in OutcomeSerializer(outcomes, many=True).data] == [key, "x"]


@pytest.mark.parametrize("key", [0, -1, True, None, 1.5, [], {}])
def test_control_of_many_over_http_refuses_what_is_neither_number_nor_text(key):
    assert not ControlSerializer(data={"verb": "pause", "ids": [key]}).is_valid()
