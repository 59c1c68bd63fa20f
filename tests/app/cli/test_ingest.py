import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.cli.entries import AnyEntry
from app.cli.ingestion import Ingestion
from app.cli.market import MarketFolder
from app.engine import Engine, open_engine
from app.settings import load_settings
from index.errors import StoreUnavailable
from index.gallery import GalleryStore
from index.records import Enrolled, EnrolStatus, NewSample
from model import registry
from model.runtime import Embedder
from tests.app.cli.conftest import Ran, Reid


def events(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def items(ran: Ran) -> list[dict[str, Any]]:
    return [item for event in events(ran) if event["event"] == "batch" for item in event["items"]]


@pytest.fixture
def engine(data_dir: Path) -> Iterator[Engine]:
    with open_engine(load_settings(data_dir=data_dir)) as opened:
        yield opened


def test_a_market_tree_is_enrolled_whole(reid: Reid, data_dir: Path, market: Path) -> None:
    ran = reid("ingest", market, "--json")
    source = MarketFolder(market)
    end = events(ran)[-1]
    assert ran.code == 0
    assert (end["total"], end["created"], end["duplicates"], end["rejected"]) == (source.total, source.total, 0, 0)
    assert end["left_out"] == ["left out 4 junk pictures (identity -1)"]
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        for entry, item in zip(source.entries(), items(ran), strict=True):
            sample = engine.gallery.get("default", item["sample_id"])
            assert (item["where"], sample.identity, sample.camera) == (entry.where, entry.identity, entry.camera)
            assert engine.gallery.picture("default", item["sample_id"]) == entry.path.read_bytes()
        assert engine.gallery.check().clean


def test_a_folder_for_each_person_is_enrolled_when_told_so(reid: Reid, market: Path, tmp_path: Path) -> None:
    for number, picture in enumerate(sorted((market / "bounding_box_test").glob("0*.jpg"))[:2]):
        (folder := tmp_path / "people" / f"p{number}").mkdir(parents=True)
        shutil.copy(picture, folder)
    assert reid("ingest", tmp_path / "people").code == 1
    assert events(reid("ingest", tmp_path / "people", "--by-folder", "--json"))[-1]["created"] == 2
    found = json.loads(reid("query", tmp_path / "people" / "p1" / picture.name, "--json").out)
    assert found["identities"][0]["identity"] == "p1"
    refused = reid("ingest", picture, "--by-folder")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "expected a folder with a subfolder for each person" in refused.err


def test_run_again_it_goes_on_where_it_was(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    for path in sorted((market / "bounding_box_test").glob("0*.jpg"))[:5]:
        shutil.copy(path, part)
    first = reid("ingest", part, "--json")
    embedded: list[int] = []
    embed = Embedder.embed
    monkeypatch.setattr(registry, "try_out", lambda _: None)  # it embeds drawn people when a version is opened

    def counting(self: Embedder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        embedded.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(Embedder, "embed", counting)
    second = reid("ingest", market, "--json")
    end = events(second)[-1]
    assert (end["duplicates"], end["created"]) == (5, end["total"] - 5)
    assert sum(embedded) == end["total"] - 5
    known = {item["where"]: item["sample_id"] for item in items(second) if item["status"] == "duplicate"}
    assert known == {item["where"]: item["sample_id"] for item in items(first)}


def test_a_manifest_is_enrolled_with_all_it_says(reid: Reid, data_dir: Path, market: Path, tmp_path: Path) -> None:
    shutil.copy(sorted((market / "query").iterdir())[0], tmp_path / "a.jpg")
    manifest = tmp_path / "people.csv"
    manifest.write_text(
        "path,identity,camera,captured_at,external_id,attributes.coat\n"
        "a.jpg,Ann / Bob,c9,2026-05-01T12:00:00+02:00,x-1,red\n"
    )
    [item] = items(reid("ingest", manifest, "--json"))
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        sample = engine.gallery.get("default", item["sample_id"])
    assert (sample.identity, sample.camera, sample.external_id) == ("Ann / Bob", "c9", "x-1")
    assert sample.attributes == {"coat": "red"}
    assert sample.captured_at is not None
    assert sample.captured_at.isoformat() == "2026-05-01T10:00:00+00:00"


@pytest.mark.parametrize(("external", "code", "people"), [("", 0, ["Ann", "Anna"]), ("x-1", 1, ["Anna"])])
def test_what_was_corrected_is_told_by_its_external_id(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path, external: str, code: int, people: list[str]
) -> None:
    picture = sorted((market / "query").iterdir())[0]
    manifest = tmp_path / "people.csv"
    manifest.write_text(f"path,identity,external_id\n{picture},Ann,{external}\n")
    assert reid("ingest", manifest, "--json").code == 0
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        engine.gallery.rename("default", "Ann", "Anna")
    again = reid("ingest", manifest, "--json")
    assert again.code == code
    assert [item["code"] for item in items(again) if "code" in item] == ["external_id_conflict"] * code
    with open_engine(load_settings(data_dir=data_dir)) as engine:
        assert [each.identity for each in engine.gallery.identities("default", limit=9).items] == people


def test_each_bad_entry_fails_alone(reid: Reid, data_dir: Path, market: Path, tmp_path: Path) -> None:
    good = sorted((market / "query").iterdir())[0]
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(bytes(10_000_001))
    os.mkfifo(tmp_path / "pipe.jpg")
    rows = [f"{good},Ann", "cut.jpg,Ann", "text.jpg,Ann", "large.jpg,Ann", "pipe.jpg,Ann", "none.jpg,Ann", f"{good},"]
    (tmp_path / "m.csv").write_text("\n".join(["path,identity", *rows, f"{good},Bob"]))
    ran = reid("ingest", tmp_path / "m.csv", "--json")
    found = {item["where"]: item.get("code", item["status"]) for item in items(ran)}
    assert ran.code == 1
    assert found == {
        "m.csv line 2": "created",
        "m.csv line 3": "image_truncated",
        "m.csv line 4": "unsupported_media",
        "m.csv line 5": "file_too_large",
        "m.csv line 6": "file_unreadable",
        "m.csv line 7": "file_unreadable",
        "m.csv line 8": "invalid_metadata",
        "m.csv line 9": "created",
    }
    assert events(ran)[-1]["rejected"] == 6


def test_rejections_and_the_sum_are_told_to_people(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    rows = [f"none-{number}.jpg,Ann" for number in range(25)]
    (tmp_path / "m.csv").write_text("\n".join(["path,identity", *rows]))
    ran = reid("ingest", tmp_path / "m.csv")
    assert ran.code == 1
    assert ran.err.count("file_unreadable") == 20
    assert "5 more were rejected" in ran.out
    assert "0 enrolled, 0 already there, 25 rejected, of 25 into 'default'" in ran.out


def test_a_path_that_is_not_there_is_told(reid: Reid, tmp_path: Path) -> None:
    ran = reid("ingest", tmp_path / "none")
    assert ran.code == 1
    assert ran.err == f"reid: {tmp_path}/none: expected a folder or a CSV manifest, found nothing\n"


def test_an_unknown_gallery_is_told(reid: Reid, data_dir: Path, market: Path) -> None:
    ran = reid("ingest", market, "--gallery", "nowhere")
    assert ran.code == 1
    assert "nowhere" in ran.err
    assert ran.err.count("\n") == 1


def test_it_reads_no_further_ahead_than_a_few_batches(engine: Engine, market: Path) -> None:
    taken = 0

    def counted() -> Iterator[AnyEntry]:
        nonlocal taken
        for entry in MarketFolder(market).entries():
            taken += 1
            yield entry

    for done, _outcomes in enumerate(Ingestion(engine, "default", 2).run(counted()), start=1):
        assert taken <= 2 * (done + 5)
    assert taken == MarketFolder(market).total


def test_stopped_it_says_all_that_was_enrolled_and_enrols_no_more(engine: Engine, market: Path) -> None:
    work = Ingestion(engine, "default", 2)
    told: Counter[EnrolStatus] = Counter()
    for outcomes in work.run(MarketFolder(market).entries()):
        told.update(outcome.status for outcome in outcomes)
        work.stop()
    assert 0 < told[EnrolStatus.CREATED] < MarketFolder(market).total
    assert engine.gallery.indexes.sample_count() == told[EnrolStatus.CREATED]


def test_ctrl_c_ends_it_with_what_was_done(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol = GalleryStore.enrol

    def interrupted(
        self: GalleryStore, gallery: str, items: Sequence[NewSample], *, model_version: str
    ) -> list[Enrolled]:
        os.kill(os.getpid(), signal.SIGINT)
        return enrol(self, gallery, items, model_version=model_version)

    monkeypatch.setattr(GalleryStore, "enrol", interrupted)
    ran = reid("ingest", market, "--json", "--batch-size", "4")
    end = events(ran)[-1]
    assert ran.code == 130
    assert end["interrupted"] is True
    assert 0 < end["created"] < end["total"]
    assert json.loads(reid("gallery", "check", "--json").out)["samples"] == end["created"]


def test_a_store_that_fails_ends_it_in_one_line(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: GalleryStore, gallery: str, items: Sequence[NewSample], *, model_version: str) -> list[Enrolled]:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(GalleryStore, "enrol", full)
    ran = reid("ingest", market, "--json")
    assert (ran.code, ran.out, ran.err) == (1, "", "reid: the disk is full\n")
