"""What is sent to hurt gets a documented answer that tells nothing of the inside, and the next request is served."""

import json
import time
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.app.hostile import fields, framing
from tests.app.hostile.fields import AWKWARD, NAMES, names
from tests.app.hostile.pictures import pictures
from tests.app.hostile.wire import CUT, PATIENCE, Answer, Entry, Running, form, form_request, json_request, running
from tests.app.parts import person

INWARD = ("Traceback", 'File "', "site-packages", ".py:", "sqlalchemy", "sqlite3", "INSERT INTO", "SELECT samples")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("hostile")) as service:
        for identity in range(3):
            answer = service.say(form_request("/gallery", form([person(identity)], {"identity": f"p{identity}"})))
            assert answer[0].status == 201, answer[0].body
        yield service
        assert service.process.poll() is None
        log = service.log()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]


def wrong(service: Running, entry: Entry) -> str | None:
    """Send one entry; return what is wrong with what it got."""
    try:
        answers = service.say(entry.sent)
        for answer in answers:
            check(service, answer)
    except (AssertionError, ValueError, OSError) as exc:
        return f"{entry.name}: {exc!r}"
    found = [answer.code for answer in answers] or [CUT]
    if len(found) > entry.answers or not set(found) <= set(entry.codes.split(" | ")):
        return f"{entry.name}: expected {entry.codes}, found {found} {[each.body[:300] for each in answers]!r}"
    return None


def check(service: Running, answer: Answer) -> None:
    assert answer.status < 500, answer.body
    assert answer.headers.get("x-request-id"), answer
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = answer.body.decode("utf-8", "replace")
    for inward in (*INWARD, str(service.folder)):
        assert inward not in text, text
    if answer.status >= 400 and answer.body and "items" not in json.loads(answer.body):
        assert answer.headers["content-type"] == "application/problem+json"
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert len(answer.body) < 4_000, "the input is sent back at length"


def all_right(service: Running, entries: Sequence[Entry], at_once: int = 8) -> None:
    """Send every entry, then check that a good request is answered right."""
    with ThreadPoolExecutor(at_once) as threads:
        found = [each for each in threads.map(lambda entry: wrong(service, entry), entries) if each]
    assert not found, f"{len(found)} of {len(entries)}:\n" + "\n".join(found)
    good(service)


def good(service: Running) -> None:
    [answer] = service.say(form_request("/query", form([person(1)], {"top_k": "1"})))
    assert answer.status == 200, answer.body
    told = json.loads(answer.body)
    assert told["identities"][0]["identity"] == "p1"
    assert told["identities"][0]["score"] > 0.9999
    assert told["searched"] == 3


def test_pictures(service: Running) -> None:
    table = list(pictures())
    assert len(table) >= 150
    all_right(service, [Entry(name, form_request("/embed", form([data])), codes) for name, data, codes in table], 2)


def test_pictures_beside_good_ones(service: Running, tmp_path: Path) -> None:
    """Each item of a batch has the outcome it has alone, and a good one between any two of them is not touched."""
    table = [case for case in pictures() if len(case[1]) < 200_000]
    for start in range(0, len(table), 32):
        cases = table[start : start + 32]
        sent = [data for _, data, _ in cases for data in (data, person(2))]
        [answer] = service.say(form_request("/query/batch", form(sent, {"top_k": "1"})))
        assert answer.status == 200, answer.body
        results = json.loads(answer.body)["results"]
        for (name, _, codes), result in zip(cases, results[::2], strict=True):
            code = result["error"]["code"] if "error" in result else "200"
            assert code in codes, f"{name}: {result}"
        assert {each["identities"][0]["identity"] for each in results[1::2]} == {"p2"}
    good(service)


@pytest.mark.parametrize("table", fields.TABLES)
def test_fields(service: Running, table: str) -> None:
    service.say(json_request("/galleries/hostile", {}, "PUT"))
    entries = list(fields.TABLES[table]())
    assert len(entries) >= 35
    all_right(service, entries)


def test_every_accepted_name_is_kept_and_found(service: Running) -> None:
    service.say(json_request("/galleries/hostile", {}, "PUT"))
    all_right(service, list(names()))
    listed = json.loads(service.ask("GET", "/identities?gallery=hostile&limit=1000").body)["items"]
    texts = {name: unicodedata.normalize("NFC", text) for name, text in NAMES.items()}
    assert set(texts.values()) <= {each["identity"] for each in listed}
    for name, text in texts.items():
        target = f"/identities/{quote(text, safe='')}?gallery=hostile"
        assert json.loads(service.ask("GET", target).body)["identity"] == text
        if name in AWKWARD:
            assert json.loads(service.ask("DELETE", target).body)["verified"] is True
            assert service.ask("GET", target).code == "404 identity_not_found"


@pytest.mark.parametrize("table", framing.TABLES)
def test_framing(service: Running, table: str) -> None:
    entries = list(framing.TABLES[table]())
    assert len(entries) >= 45
    all_right(service, entries, 32)


def test_slow_clients(service: Running) -> None:
    entries = list(framing.slow())
    began = time.monotonic()
    all_right(service, entries, len(entries))
    assert time.monotonic() - began < 4 * PATIENCE
