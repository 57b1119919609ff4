"""What is traced, and that it reaches a collector."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from config.env import ROOT
from content.deletion import delete_subtrees
from content.models import Episode
from content.synthetic import make_episode
from duplication.services import start_duplication
from operations import telemetry
from tests.duplication.driving import run_to_end


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a collector would receive of this test's spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # Not the process-wide provider: that can be set only once.
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("encore"))
    yield exporter
    provider.shutdown()


def parents(spans: tuple[ReadableSpan, ...]) -> set[tuple[str, str | None]]:
    """Each kind of span with the kind it stands below."""
    names = {span.context.span_id: span.name for span in spans if span.context}
    return {(span.name, span.parent and names[span.parent.span_id]) for span in spans}


@pytest.mark.django_db
def test_duplication_from_request_to_end_is_one_trace(exported: InMemorySpanExporter) -> None:
    episode = make_episode(parts=1, items=1, blocks=2)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_to_end(duplication)
    spans = exported.get_finished_spans()
    assert {span.context.trace_id for span in spans if span.context} == {
        int(duplication.traceparent.split("-")[1], 16)
    }
    assert parents(spans) == {
        ("duplication", None),
        ("dispatch", "duplication"),
        ("job", "duplication"),
        ("status transition", "job"),
        ("status transition", "transaction"),
        ("chunk", "job"),
        ("transaction", "chunk"),
        ("query", "transaction"),
    }
    assert sum(span.name == "job" for span in spans) == duplication.jobs.count()
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}


@pytest.mark.django_db
def test_duplication_that_fails_has_its_exception_in_the_trace(
    exported: InMemorySpanExporter,
) -> None:
    episode = make_episode(parts=1, items=1, blocks=1)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    delete_subtrees(Episode, [episode.pk])
    run_to_end(duplication)
    [chunk] = [span for span in exported.get_finished_spans() if span.name == "chunk"]
    assert chunk.status.status_code == StatusCode.ERROR
    [event] = chunk.events
    assert event.attributes
    assert "OriginalEpisodeNotFound" in str(event.attributes["exception.type"])


# --- export -------------------------------------------------------------------------

RECORD_IN_THIS_PROCESS_AND_A_WORKER = """
import multiprocessing, sys
import django
django.setup()
from config import telemetry as exporting
from operations import telemetry

def work(name):
    exporting.configure("encore-" + name)
    with telemetry.span(name, rows=3):
        pass

worker = multiprocessing.get_context("fork").Process(target=work, args=["worker"])
worker.start()
worker.join()
work("web")
sys.exit("opentelemetry.sdk" in sys.modules)
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, ExportTraceServiceRequest]]]]:
    """An OTLP endpoint, and the paths and requests it has received."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/x-protobuf"
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the test's output is not a server's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()
    thread.join()


def record(endpoint: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", RECORD_IN_THIS_PROCESS_AND_A_WORKER],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        },
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.processes
def test_configure_with_an_endpoint_sends_spans_of_process_and_worker_before_they_end(
    collector: tuple[str, list[tuple[str, ExportTraceServiceRequest]]],
) -> None:
    endpoint, received = collector
    record(endpoint)
    found = {}
    for path, request in received:
        assert path == "/v1/traces"
        for resource in request.resource_spans:
            attributes = {each.key: each.value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    rows = {each.key: each.value.int_value for each in span.attributes}
                    found[attributes["service.name"].string_value] = (span.name, rows)
    assert found == {
        "encore-web": ("web", {"rows": 3}),
        "encore-worker": ("worker", {"rows": 3}),
    }


@pytest.mark.processes
def test_configure_without_an_endpoint_does_not_even_load_the_sdk() -> None:
    assert record("") == 0
