"""Traces as a collector gets them, and that nothing is there when none is set."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.application import create_app
from app.errors import SettingsInvalid
from app.tracing import Traces, open_traces
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files
from tests.app.server import serving

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector(ThreadingHTTPServer):
    """An OTLP/HTTP receiver."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.paths: set[str] = set()
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.paths.add(self.path)
        for each in body.resource_spans:
            self.server.services |= {a.value.string_value for a in each.resource.attributes if a.key == "service.name"}
            self.server.spans += [span for scope in each.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *values: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_query_and_its_stages_reach_the_collector(tmp_path: Path, collector: Collector) -> None:
    with serving(create_app(tiny_settings(tmp_path, otlp_endpoint=collector.address))) as client:
        enrol(client, person(0), "anna")
        answer = client.post("/query", files=files([person(0)]), headers={"traceparent": CALLER, "x-request-id": "q1"})
        assert answer.status_code == 200
        client.get("/identities/anna")
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"reid"}
    [request] = [span for span in collector.spans if span.name == "POST /query"]
    assert request.kind == Span.SPAN_KIND_SERVER
    assert request.trace_id.hex() == CALLER.split("-")[1]
    assert request.parent_span_id.hex() == CALLER.split("-")[2]
    expected = {"http.request.method": "POST", "http.route": "/query", "http.response.status_code": 200}
    assert attributes(request) == expected | {"reid.request_id": "q1"}
    stages = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert [span.name for span in sorted(stages, key=lambda span: span.end_time_unix_nano)] == [
        "decode", "queue", "embed", "search"
    ]  # fmt: skip
    for span in stages:
        assert request.start_time_unix_nano - 10**6 <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 10**6
    assert "GET /identities/{identity:path}" in {span.name for span in collector.spans}
    assert not any(b"anna" in span.SerializeToString() for span in collector.spans)


def test_a_collector_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path, otlp_endpoint="http://127.0.0.1:9"))) as client:
        assert client.get("/health/ready").status_code == 200


def test_nothing_is_traced_and_nothing_imported_unless_it_is_set(tmp_path: Path) -> None:
    assert type(open_traces(tiny_settings(tmp_path))) is Traces
    program = (
        "import sys; from app.application import create_app; from app.settings import load_settings; "
        "create_app(load_settings()); print('opentelemetry.sdk' in sys.modules, 'app.telemetry' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_a_missing_library_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "app.telemetry", None)
    monkeypatch.delitem(sys.modules, "app.telemetry")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsInvalid, match=r"REID_OTLP_ENDPOINT=http://c:4318.*pip install 'hap2s-reid\[trace\]'"):
        open_traces(tiny_settings(tmp_path, otlp_endpoint="http://c:4318"))
