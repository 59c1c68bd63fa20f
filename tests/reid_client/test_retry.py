"""What is sent again, after how long, and for how long: by a script of answers, in a time of its own."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from reid_client import (
    AnswerLost,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    NewSample,
    NotFound,
    NotReady,
    Overloaded,
    ReidError,
    Retry,
    ServiceFailed,
    UnexpectedAnswer,
)
from tests.reid_client.both import KINDS, scripted

IDENTITY = {"identity": "0005", "samples": 1, "cameras": [], "first_seen": None, "last_seen": None}
ENROLLED = {
    "created": 1,
    "duplicates": 0,
    "rejected": 0,
    "items": [{"index": 0, "status": "created", "sample_id": "x"}],
}
Step = httpx.Response | type[httpx.RequestError]


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"status": status, "code": code, "detail": "told", "request_id": "r"}
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def good(body: object = IDENTITY) -> httpx.Response:
    return httpx.Response(200, json=body)


class Script:
    """Answers with one step after the other, and keeps what was asked."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        step = next(self._steps)
        if isinstance(step, httpx.Response):
            return step
        raise step("broken")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refusal", [(429, "overloaded"), (503, "not_ready")])
def test_what_the_service_asks_for_is_waited(kind: str, refusal: tuple[int, str]) -> None:
    script = Script(problem(*refusal, Retry_After="7"), problem(*refusal), problem(*refusal), good())
    with scripted(kind, script) as (client, time):
        assert client.identity("0005").samples == 1
    assert time.slept == [7.2, 0.4, 0.8]
    assert [request.headers["X-API-Key"] for request in script.asked] == ["secret"] * 4


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with scripted("sync", Script(problem(429, "overloaded", Retry_After=later), good())) as (client, time):
        client.identity("0005")
    assert 28 < time.slept[0] < 31


def test_the_wait_doubles_up_to_the_longest_and_half_of_it_is_chance() -> None:
    most, least = Retry(first=0.5, longest=3, chance=lambda: 1.0), Retry(first=0.5, longest=3, chance=lambda: 0.0)
    assert [most.wait(attempt, None) for attempt in (1, 2, 3, 4, 50)] == [0.5, 1, 2, 3, 3]
    assert [least.wait(attempt, None) for attempt in (1, 2, 3, 4, 50)] == [0.25, 0.5, 1, 1.5, 1.5]
    assert least.wait(9, 4.0) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_broken_connection_is_tried_again(kind: str, failure: type[httpx.RequestError]) -> None:
    with scripted(kind, Script(failure, failure, good())) as (client, time):
        assert client.identity("0005").identity == "0005"
    assert len(time.slept) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_enrolment_is_sent_again_as_it_was(kind: str) -> None:
    script = Script(httpx.ReadError, problem(502, "http_502"), good(ENROLLED))
    with scripted(kind, script) as (client, _):
        assert client.enrol([NewSample(b"picture", "0005")]).created == 1
    bodies = [re.sub(rb"[0-9a-f]{32}", b"boundary", request.content) for request in script.asked]
    assert bodies[0] == bodies[1] == bodies[2]
    assert b"picture" in bodies[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_cannot_be_sent_is_not_tried_again(kind: str) -> None:
    script = Script(httpx.LocalProtocolError, good())
    with scripted(kind, script) as (client, time), pytest.raises(ConnectionFailed):
        client.identity("0005")
    assert time.slept == []


def test_a_broken_connection_names_the_service_and_nobody() -> None:
    once = Retry(attempts=1)
    with scripted("sync", Script(httpx.ReadError), once) as (client, _), pytest.raises(ConnectionFailed) as told:
        client.identity("anna")
    expected = "connection_failed: expected an answer of http://reid.test, found ReadError: broken"
    assert str(told.value) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_enrolment_answers_for_each_picture(kind: str) -> None:
    with scripted(kind, Script(good(ENROLLED))) as (client, _), pytest.raises(UnexpectedAnswer, match="each of 2"):
        client.enrol([NewSample(b"a", "0005"), NewSample(b"b", "0005")])


CHANGES: list[Callable[[Client], object]] = [
    lambda client: client.rename("a", "b"),
    lambda client: client.activate("v@1"),
    lambda client: client.finalize_migration("m"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_may_not_be_done_twice_is_sent_again_only_when_it_never_left(
    kind: str, change: Callable[[Client], object]
) -> None:
    script = Script(httpx.ConnectError, problem(429, "overloaded"), httpx.ReadError, good())
    with scripted(kind, script) as (client, _), pytest.raises(ConnectionFailed) as told:
        change(client)
    assert len(script.asked) == 3
    assert isinstance(told.value.__cause__, httpx.ReadError)
    script = Script(problem(503, "not_ready"), good())
    with scripted(kind, script) as (client, _), pytest.raises(NotReady):
        change(client)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 418, 422, 500])
def test_any_other_error_is_final(kind: str, status: int) -> None:
    script = Script(problem(status, "some_code"), good())
    with scripted(kind, script) as (client, time), pytest.raises(ReidError) as told:
        client.identity("0005")
    assert (len(script.asked), time.slept) == (1, [])
    assert (told.value.status, told.value.code, told.value.request_id) == (status, "some_code", "r")
    assert isinstance(told.value, ServiceFailed) == (status == 500)


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_last_attempt_its_own_error_is_raised(kind: str) -> None:
    script = Script(*[problem(429, "overloaded")] * 3)
    with scripted(kind, script, Retry(attempts=3)) as (client, _), pytest.raises(Overloaded):
        client.identity("0005")
    assert len(script.asked) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_deadline_is_for_all_attempts_together(kind: str) -> None:
    script = Script(*[httpx.ConnectError] * 100)
    retry = Retry(attempts=100, deadline=20, chance=lambda: 1.0)
    with scripted(kind, script, retry) as (client, time), pytest.raises(DeadlineExceeded) as told:
        client.identity("0005")
    assert sum(time.slept) < 20
    assert isinstance(told.value.__cause__, ConnectionFailed)
    script = Script(problem(429, "overloaded", Retry_After="3600"))
    with scripted(kind, script) as (client, time), pytest.raises(DeadlineExceeded, match="overloaded") as told:
        client.identity("0005")
    assert (time.slept, told.value.status) == ([], 429)


@pytest.mark.parametrize("kind", KINDS)
def test_the_timeouts_are_cut_short_by_the_deadline(kind: str) -> None:
    script = Script(problem(429, "overloaded", Retry_After="9"), good())
    with scripted(kind, script, Retry(deadline=12, first=0)) as (client, _):
        client.identity("0005")
    limits = [request.extensions["timeout"] for request in script.asked]
    assert limits == [
        {"connect": 5, "read": 12, "write": 12, "pool": 12},
        {"connect": 3, "read": 3, "write": 3, "pool": 3},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_that_is_gone_after_an_answer_was_lost_is_deleted(kind: str) -> None:
    gone = problem(404, "sample_not_found")
    with scripted(kind, Script(httpx.ReadError, gone)) as (client, _):
        client.delete("x")
    with scripted(kind, Script(httpx.ConnectError, gone)) as (client, _), pytest.raises(NotFound):
        client.delete("x")
    for status in (502, 503, 504):  # of a proxy
        with scripted(kind, Script(httpx.Response(status, text="<html>"), gone)) as (client, _):
            client.delete("x")
    with scripted(kind, Script(problem(503, "not_ready"), gone)) as (client, _), pytest.raises(NotFound):
        client.delete("x")
    missing = problem(404, "gallery_not_found")
    with scripted(kind, Script(httpx.ReadError, missing)) as (client, _), pytest.raises(NotFound):
        client.delete("x")


@pytest.mark.parametrize("kind", KINDS)
def test_an_erasure_whose_answer_was_lost_is_not_called_verified(kind: str) -> None:
    script = Script(httpx.ReadError, problem(404, "identity_not_found"))
    with scripted(kind, script) as (client, _), pytest.raises(AnswerLost):
        client.erase("0005")


@pytest.mark.parametrize("kind", KINDS)
def test_health_is_asked_once(kind: str) -> None:
    for step, error in ((problem(503, "not_ready"), NotReady), (httpx.ConnectError, ConnectionFailed)):
        script = Script(step, good())
        with scripted(kind, script) as (client, _), pytest.raises(error):
            client.ready()
        assert len(script.asked) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"identity": "0005"}',
        json.dumps({**IDENTITY, "samples": "many"}).encode(),
        json.dumps({**IDENTITY, "samples": True}).encode(),
        json.dumps({**IDENTITY, "first_seen": "yesterday"}).encode(),
        json.dumps({**IDENTITY, "cameras": None}).encode(),
    ],
)
def test_what_does_not_speak_this_api_is_told_so(kind: str, body: bytes) -> None:
    with scripted(kind, Script(httpx.Response(200, content=body))) as (client, _), pytest.raises(UnexpectedAnswer):
        client.identity("0005")


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirection_is_not_followed_with_the_key(kind: str) -> None:
    script = Script(httpx.Response(302, headers={"Location": "http://elsewhere.test/"}), good())
    with scripted(kind, script) as (client, _), pytest.raises(UnexpectedAnswer, match="http_302"):
        client.identity("0005")
    assert len(script.asked) == 1


def test_an_error_of_something_in_between_keeps_its_text() -> None:
    answer = httpx.Response(413, text="<h1>too large</h1>")
    with scripted("sync", Script(answer)) as (client, _), pytest.raises(ReidError, match=r"http_413: .*too large"):
        client.identity("0005")


def test_members_that_are_not_known_are_passed_over() -> None:
    with scripted("sync", Script(good({**IDENTITY, "new": 1}))) as (client, _):
        assert client.identity("0005").samples == 1
