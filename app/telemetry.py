"""Traces sent to an OpenTelemetry collector."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from app.tracing import Traces


class SentTraces(Traces):
    """A span for each request, the child of the caller's where its `traceparent` names one, and one for each stage.

    What is sent has no picture, name or address in it: method, route, status, request id, and times.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        resource = Resource({SERVICE_NAME: "reid"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hap2s-reid")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope) -> Iterator[None]:
        """Make what runs in the block one span."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = self._propagator.extract(headers)
        with self._tracer.start_as_current_span(scope["method"], caller, kind=SpanKind.SERVER):
            yield

    def answered(self, scope: Scope, route: str, status: int) -> None:
        """Say what the request in hand was and how it was answered."""
        span = trace.get_current_span()
        span.update_name(f"{scope['method']} {route}")
        span.set_attributes(
            {
                "http.request.method": scope["method"],
                "http.route": route,
                "http.response.status_code": status,
                "reid.request_id": scope["state"]["request_id"],
            }
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def stage(self, name: str, seconds: float, ago: float = 0.0) -> None:
        """Add a stage of the request in hand, which took so many seconds and ended some ago."""
        ended = time.time_ns() - int(ago * 1e9)
        self._tracer.start_span(name, start_time=ended - int(seconds * 1e9)).end(ended)

    def close(self) -> None:
        """Send what was not sent yet; a collector that does not answer holds nothing up for long."""
        self._provider.force_flush(2000)
        self._provider.shutdown()


def sent_to(endpoint: str) -> SentTraces:
    """Return traces for a collector's address; the OTEL_* variables say the rest, such as headers and sampling."""
    return SentTraces(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=2))
