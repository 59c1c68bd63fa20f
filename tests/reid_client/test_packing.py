"""How samples are split into requests; each within the service's limits."""

import json
import re
from pathlib import Path

import httpx
import pytest

from app.enrolment import MAX_IMAGES as SERVICE_IMAGES
from app.forms import MAX_FILE as SERVICE_FILE
from app.forms import MAX_REQUEST as SERVICE_REQUEST
from app.forms import MAX_TEXT as SERVICE_TEXT
from reid_client import InvalidRequest, NewSample
from reid_client.packing import MAX_IMAGES, MAX_REQUEST, MAX_TEXT, Packer, packed
from reid_client.samples import MAX_FILE, Outcome, Ready, prepare
from tests.reid_client.both import KINDS, scripted


class Enrolling:
    """Takes enrolments as the service does, and refuses the whole of one with a bad entry or too many bytes."""

    def __init__(self, most: int = MAX_REQUEST) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._most = most

    def __call__(self, request: httpx.Request) -> httpx.Response:
        found = re.search(rb'name="metadata"\r\n\r\n(.*?)\r\n--', request.content, re.DOTALL)
        assert found is not None
        entries = json.loads(found[1])
        self.sizes.append((len(entries), len(request.content)))
        if len(request.content) > self._most:
            return httpx.Response(413, text="too large")
        if any(entry["identity"] == "bad" for entry in entries):
            return httpx.Response(400, json={"code": "invalid_metadata", "detail": "bad"})
        names = [entry["identity"] for entry in entries]
        items = [{"index": index, "status": "created", "sample_id": name} for index, name in enumerate(names)]
        return httpx.Response(201, json={"created": len(items), "duplicates": 0, "rejected": 0, "items": items})


def named(count: int, size: int = 10) -> list[NewSample]:
    return [NewSample(bytes(size), f"{index}") for index in range(count)]


def test_the_limits_are_the_services() -> None:
    assert (MAX_IMAGES, MAX_FILE, MAX_REQUEST, MAX_TEXT) == (
        SERVICE_IMAGES,
        SERVICE_FILE,
        SERVICE_REQUEST,
        SERVICE_TEXT,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (256, [256]), (257, [256, 1]), (600, [256, 256, 88])])
def test_requests_are_split_by_count(kind: str, count: int, sizes: list[int]) -> None:
    service = Enrolling()
    with scripted(kind, service) as (client, _):
        done = client.enrol(named(count))
    assert [number for number, _ in service.sizes] == sizes
    assert [item.sample_id for item in done.items] == [f"{index}" for index in range(count)]
    assert [item.index for item in done.items] == list(range(count))
    assert done.created == count


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_split_by_bytes(kind: str) -> None:
    service = Enrolling()
    with scripted(kind, service) as (client, _):
        assert client.enrol(named(9, 9_000_000)).created == 9
    assert [number for number, _ in service.sizes] == [7, 2]
    assert all(size <= MAX_REQUEST for _, size in service.sizes)


def test_requests_are_split_by_metadata() -> None:
    large = {"note": "ü" * 8_000}
    batches = list(packed(NewSample(b"", f"{index}", attributes=large) for index in range(400)))
    assert sum(len(batch) for batch in batches) == 400
    assert max(batch.text_size for batch in batches) <= MAX_TEXT
    assert len(batches) == 2


def test_no_more_than_one_batch_is_read_ahead() -> None:
    samples = iter(named(1000))
    next(iter(packed(samples, 10)))
    assert len(list(samples)) == 989


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (NewSample(bytes(MAX_FILE + 1), "x"), "file_too_large"),
        (NewSample("/nowhere/at/all.jpg", "x"), "file_unreadable"),
        (NewSample("/dev/null", "x"), "file_unreadable"),
        (NewSample("a\0b", "x"), "file_unreadable"),
        (NewSample(b"", "x", attributes={"a": object()}), "invalid_metadata"),
        (NewSample(b"", "x", attributes={"a": float("nan")}), "invalid_metadata"),
        (NewSample(b"", "\ud800"), "invalid_metadata"),
    ],
)
def test_what_cannot_be_sent_is_rejected_alone(sample: NewSample, code: str) -> None:
    outcome = prepare(3, sample)
    assert isinstance(outcome, Outcome)
    assert outcome.error is not None
    assert (outcome.index, outcome.status, outcome.error.code) == (3, "rejected", code)


def test_a_file_of_the_largest_size_is_sent(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(MAX_FILE))
    assert isinstance(prepare(0, NewSample(tmp_path / "large", "x")), Ready)


def test_a_batch_has_a_size_that_the_service_takes() -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        Packer(257)


@pytest.mark.parametrize("kind", KINDS)
def test_one_entry_that_spoils_a_request_does_not_spoil_its_neighbours(kind: str) -> None:
    samples = named(20)
    samples[13] = NewSample(b"x", "bad")
    with scripted(kind, Enrolling()) as (client, _):
        done = client.enrol(samples)
    assert [item.index for item in done.items] == list(range(20))
    assert [item.index for item in done.items if item.status == "rejected"] == [13]
    assert done.items[13].error is not None
    assert done.items[13].error.code == "invalid_metadata"


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_with_a_smaller_limit_gets_smaller_requests(kind: str) -> None:
    service = Enrolling(most=100_000)
    with scripted(kind, service) as (client, _):
        done = client.enrol([*named(10, 30_000), NewSample(bytes(200_000), "10")])
    assert (done.created, done.rejected, done.items[10].status) == (10, 1, "rejected")


def test_an_error_of_the_whole_request_is_raised() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"code": "invalid_parameter", "detail": "no", "field": "gallery"})

    with scripted("sync", refuse) as (client, _), pytest.raises(InvalidRequest, match="gallery"):
        client.enrol(named(3), gallery="")
