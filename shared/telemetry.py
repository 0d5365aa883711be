"""Traces: one of them covers the whole way of a push, across processes and the bus.

Spans are exported by OTLP over HTTP when an endpoint is set; without one they are not recorded, and
the trace context still travels with events so that log lines of one push can be found together.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("moorage")


def configure(process: str, instance: str, endpoint: str | None) -> None:
    """Set up the tracer; spans leave the process only when `endpoint` (an OTLP base URL) is set."""
    resource = Resource.create(
        {"service.name": f"moorage-{process}", "service.instance.id": instance}
    )
    provider = TracerProvider(resource=resource)
    if endpoint:
        # Imported here: the exporter and its protobufs cost every process 10 MB.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def shut_down() -> None:
    """Send what is left and stop."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


@contextmanager
def span(name: str, parent: str | None = None, **attributes: Any) -> Generator[trace.Span]:
    """A span named `name`; `parent` is a `traceparent`, else the current span is the parent."""
    above = _PROPAGATOR.extract({"traceparent": parent}) if parent else context.get_current()
    with _TRACER.start_as_current_span(
        name, context=above, kind=SpanKind.INTERNAL, attributes=attributes
    ) as opened:
        yield opened


def current_traceparent() -> str | None:
    """The W3C `traceparent` of the current span, if there is one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """The current trace's id in 32 hexadecimal digits, if there is one."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else None
