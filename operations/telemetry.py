"""One trace per operation, over all its jobs and workers.

The root span's context is stored on the operation as a W3C `traceparent`; whoever works
on it later continues that trace. Without an exporter (config.telemetry) the API hands
out spans that record nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from operations.models import Operation

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("encore")


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Span]:
    """A child of the current span; an exception that leaves it is recorded on it."""
    with _tracer.start_as_current_span(name, attributes=attributes) as current:
        yield current


@contextmanager
def continued(operation: Operation, name: str, **attributes: Any) -> Iterator[Span]:
    """A span of the operation's own trace, whichever process this is."""
    context = _propagator.extract({"traceparent": operation.traceparent})
    with _tracer.start_as_current_span(name, context=context, attributes=attributes) as current:
        yield current


def record_failure(error: Exception) -> None:
    """Mark the current span as failed by an error that doesn't leave it."""
    current = trace.get_current_span()
    current.record_exception(error)
    current.set_status(StatusCode.ERROR, str(error))


def current_traceparent() -> str:
    """The current span's context, to be stored; empty when nothing is recorded."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")
