"""`reid ingest` and `reid query` on a running service."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.application import create_app
from app.cli import remote
from app.settings import load_settings
from index.keys import Keys, Scope
from reid_client import Client, Retry
from tests.app.cli.conftest import Ran, Reid
from tests.app.server import serving


@pytest.fixture
def url(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the data folder; the verbs are pointed at another one."""
    monkeypatch.delenv("REID_KEY", raising=False)
    with serving(create_app(load_settings(data_dir=data_dir, log_level="warning"))) as http:
        monkeypatch.setenv("REID_DATA_DIR", "/nowhere")
        yield str(http.base_url)


@pytest.fixture
def far(reid: Reid, url: str) -> Reid:
    """Run a verb on the service."""
    return lambda *arguments: reid(*arguments, "--url", url)


def end(ran: Ran) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(ran.out.splitlines()[-1])
    return last


def one_query(market: Path) -> Path:
    return sorted((market / "query").iterdir())[0]


def test_a_tree_is_enrolled_and_again(far: Reid, url: str, market: Path) -> None:
    first = far("ingest", market, "--json", "--batch-size", "5")
    assert first.code == 0
    assert end(first)["created"] == end(first)["total"] > 5
    with Client(url) as client:
        assert len(list(client.samples())) == end(first)["total"]
    again = far("ingest", market)
    assert again.code == 0
    assert again.out.splitlines()[-1].startswith(f"0 enrolled, {end(first)['total']} already there, 0 rejected")


def test_each_bad_row_of_a_manifest_is_told_by_its_line(far: Reid, url: str, market: Path, tmp_path: Path) -> None:
    picture = one_query(market)
    (tmp_path / "text.jpg").write_text("no picture")
    rows = [f"{picture},a,2026-05-01T10:00:00Z,red", "text.jpg,b,,", ",c,,", "none.jpg,d,,", f"{picture},e,yesterday,"]
    manifest = tmp_path / "people.csv"
    manifest.write_text("\n".join(["path,identity,captured_at,attributes.coat", *rows]))
    ran = far("ingest", manifest, "--json")
    items = [item for line in ran.out.splitlines() for item in json.loads(line).get("items", [])]
    assert ran.code == 1
    assert (end(ran)["created"], end(ran)["rejected"]) == (1, 4)
    assert {item["where"]: item.get("code") for item in items} == {
        "people.csv line 2": None,
        "people.csv line 3": "unsupported_media",
        "people.csv line 4": "invalid_metadata",
        "people.csv line 5": "file_unreadable",
        "people.csv line 6": "invalid_metadata",
    }
    with Client(url) as client:
        (sample,) = client.samples()
    assert (sample.attributes, sample.captured_at and sample.captured_at.year) == ({"coat": "red"}, 2026)


def test_a_manifest_of_bad_rows_only(far: Reid, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("path,identity\n,a\n,b\n")
    assert end(far("ingest", tmp_path / "people.csv", "--json"))["rejected"] == 2


def test_a_signal_stops_it_and_it_goes_on(far: Reid, market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Client.ingest_steps

    def stopped(*given: Any, **named: Any) -> Iterator[Any]:  # noqa: ANN401 - those of the method
        for step in steps(*given, **named):
            if step.done == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield step

    with monkeypatch.context() as patched:
        patched.setattr(Client, "ingest_steps", stopped)
        ran = far("ingest", market, "--json", "--batch-size", "2")
    assert (ran.code, end(ran)["interrupted"]) == (130, True)
    assert 2 <= end(ran)["created"] < end(ran)["total"]
    again = end(far("ingest", market, "--json"))
    assert again["duplicates"] == end(ran)["created"]
    assert again["created"] + again["duplicates"] == again["total"]


def test_a_query_answers_what_the_data_folder_answers(
    far: Reid, reid: Reid, market: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (market / "one.csv").write_text(f"path,identity,captured_at\n{one_query(market)},x,2026-05-01T10:00:00.5Z\n")
    assert far("ingest", market, "--json").code == 0
    assert far("ingest", market / "one.csv", "--json").code == 0
    arguments = ["--top-k", "3", "--exclude-camera", "c2", "--samples-per-identity", "2", "--rerank", "--json"]
    answers = [json.loads(far("query", one_query(market), *arguments).out)]
    sample_id = answers[0]["identities"][0]["samples"][0]["sample_id"]
    answers.append(json.loads(far("query", "--sample", sample_id, *arguments).out))
    assert far("query", "--sample", "none").err.startswith("reid: sample_not_found: ")
    monkeypatch.setenv("REID_DATA_DIR", str(data_dir))
    answers.append(json.loads(reid("query", one_query(market), *arguments).out))
    answers.append(json.loads(reid("query", "--sample", sample_id, *arguments).out))
    for answer in answers:
        del answer["query_id"], answer["timing_ms"]
    assert answers[:2] == answers[2:]
    assert answers[0]["verdict"] == "match"
    assert answers[1]["searched"] == answers[0]["searched"] - 1
    assert far("query", one_query(market)).out.startswith("match: best 1.000")


def test_the_key_is_an_option_or_of_the_environment(
    far: Reid, market: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Keys.open(load_settings(data_dir=data_dir).database_url) as keys:
        _, key = keys.create([Scope.QUERY], gallery=None, label=None, rate=None)
    refused = far("query", one_query(market))
    assert (refused.code, refused.err[:20]) == (1, "reid: unauthorized: ")
    assert far("query", one_query(market), "--key", key).code == 0
    monkeypatch.setenv("REID_KEY", key)
    assert far("query", one_query(market)).code == 0
    assert far("ingest", market).err == "reid: forbidden: expected a key with the scope enroll, found one with query\n"


def test_a_bound_key_works_in_its_own_gallery_unless_another_is_named(
    far: Reid, url: str, market: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(url) as client:
        client.put_gallery("shop")
    with Keys.open(load_settings(data_dir=data_dir).database_url) as keys:
        _, key = keys.create([Scope.QUERY, Scope.ENROLL], gallery="shop", label=None, rate=None)
    monkeypatch.setenv("REID_KEY", key)
    enrolled = far("ingest", market, "--json")
    assert (enrolled.code, end(enrolled)["gallery"], end(enrolled)["rejected"]) == (0, None, 0)
    assert far("ingest", market).out.splitlines()[-1].endswith(f"of {end(enrolled)['total']}")
    answer = json.loads(far("query", one_query(market), "--json").out)
    assert (answer["gallery"], answer["searched"]) == ("shop", end(enrolled)["created"])
    for verb in (("query", one_query(market)), ("ingest", market)):
        refused = far(*verb, "--gallery", "default")
        assert (refused.code, refused.err[:17]) == (1, "reid: forbidden: ")
        assert far(*verb, "--gallery", "shop").code == 0


def test_where_nothing_answers_it_says_what_to_do(reid: Reid, market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "Client", partial(Client, retry=Retry(attempts=1)))
    ran = reid("query", one_query(market), "--url", "http://127.0.0.1:9")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.endswith("Connection refused; is reid serve running there?\n")


def test_wrong_values_are_wrong_usage(far: Reid, reid: Reid, market: Path) -> None:
    ran = far("query", one_query(market), "--false-match-rate", "0.5")
    assert (ran.code, "--false-match-rate" in ran.err) == (2, True)
    ran = reid("query", one_query(market), "--url", "localhost:8000")
    assert (ran.code, "--url" in ran.err) == (2, True)


def test_a_picture_that_cannot_be_used_is_a_failure(far: Reid, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    ran = far("query", tmp_path / "text.jpg")
    assert ran.code == 1
    assert ran.err.startswith("reid: unsupported_media (image): expected a JPEG")


@pytest.mark.parametrize("verb", ["query", "ingest"])
def test_a_key_without_an_address_is_wrong_usage(reid: Reid, market: Path, verb: str) -> None:
    ran = reid(verb, one_query(market) if verb == "query" else market, "--key", "secret")
    assert (ran.code, "--key" in ran.err, "--url" in ran.err) == (2, True, True)
