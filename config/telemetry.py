"""Traces, where somebody collects them.

Owns the exporter of this process. Doesn't own the spans (operations.telemetry).
Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is set up: the API then hands out spans that
record nothing, and the SDK isn't even imported.
"""

from multiprocessing import util

from django.conf import settings


def configure(service: str) -> None:
    """Export this process's spans in batches. Call once per process, after a fork.

    What is recorded is sent at the latest when the process ends in order.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/") + "/v1/traces"
    # Not the SDK's own way, atexit: a worker is a child of multiprocessing and never gets there.
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False
    )
    util.Finalize(None, provider.shutdown, exitpriority=0)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
