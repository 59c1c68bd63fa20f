import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from app.engine import open_engine
from app.settings import load_settings
from index.gallery import GalleryStore
from index.records import GalleryInfo, SampleFilter
from tests.app.cli.conftest import Reid
from tests.app.parts import VERSION


def test_check_counts_and_is_clean(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    ran = reid("gallery", "check", "--json")
    report = json.loads(ran.out)
    assert ran.code == 0
    assert (report["samples"], report["vectors"], report["clean"]) == (total, total, True)
    assert reid("gallery", "check").out.endswith("clean\n")
    (data_dir / "pictures" / "ab").mkdir(exist_ok=True)
    (data_dir / "pictures" / "ab" / ("ab" + "0" * 62)).write_bytes(b"orphan")
    told = reid("gallery", "check").out
    assert told.startswith("1 picture that no sample uses: `reid gallery rebuild` removes them\n")
    assert told.endswith("clean\n")


def test_check_fails_when_a_picture_is_gone(reid: Reid, data_dir: Path, market: Path) -> None:
    reid("ingest", market, "--json")
    picture = next(path for path in sorted((data_dir / "pictures").rglob("*")) if path.is_file())
    picture.unlink()
    ran = reid("gallery", "check")
    assert ran.code == 1
    assert ran.out.endswith(": 1 problem\n")


def test_check_tells_how_many_problems_it_left_out(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reid("ingest", market, "--json")
    shutil.rmtree(next(path for path in (data_dir / "pictures").iterdir() if any(path.iterdir())))
    ran = reid("gallery", "check")
    *problems, summary = ran.out.splitlines()
    monkeypatch.setattr("index.check._SHOWN", 0)
    assert reid("gallery", "check").out.splitlines() == [f"and {len(problems)} more", summary]


def test_rebuild_indexes_every_vector(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    assert json.loads(reid("gallery", "rebuild", "--json").out) == {"vectors": total}


def test_stats_counts_each_gallery(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    [found] = json.loads(reid("gallery", "stats", "--json").out)["galleries"]
    assert (found["name"], found["samples"], found["identities"]) == ("default", total, 8)
    assert "default" in reid("gallery", "stats").out


def test_stats_bears_a_gallery_that_is_made_meanwhile(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = GalleryStore.galleries

    def later(store: GalleryStore) -> list[GalleryInfo]:
        return [*listed(store), replace(listed(store)[0], name="new")]

    reid("gallery", "create", "shop")
    monkeypatch.setattr(GalleryStore, "galleries", later)
    told = json.loads(reid("gallery", "stats", "--json").out)["galleries"]
    assert [(each["name"], each["index"]["gallery"]) for each in told] == [("default",) * 2, ("shop",) * 2]


def test_a_gallery_is_made_once_and_what_is_given_is_changed(reid: Reid, data_dir: Path) -> None:
    assert "make it with reid gallery create NAME" in reid("gallery", "suspects", "--gallery", "shop").err
    made = reid("gallery", "create", "shop", "--retention-days", "30", "--no-pictures", "--json")
    settings = {"name": "shop", "retention_days": 30, "store_images": False, "samples": 0, "identities": 0}
    assert (made.code, json.loads(made.out)) == (0, settings)
    again = reid("gallery", "create", "shop")
    assert (again.code, "reid gallery set changes its settings" in again.err) == (1, True)
    changed = reid("gallery", "set", "shop", "--retention-days", "20").out
    assert changed == "'shop': pictures are not kept, samples stay for 20 days\n"
    assert reid("gallery", "set", "shop").out == changed
    changed = reid("gallery", "set", "shop", "--pictures").out
    assert changed == "'shop': pictures are kept, samples stay for 20 days\n"
    changed = reid("gallery", "set", "shop", "--retention-days", "0").out
    assert changed == "'shop': pictures are kept, samples stay until they are deleted\n"
    assert "make it with reid gallery create NAME" in reid("gallery", "set", "other").err
    assert [each["name"] for each in json.loads(reid("gallery", "stats", "--json").out)["galleries"]] == [
        "default", "shop",
    ]  # fmt: skip
    assert reid("gallery", "create", "other", "--retention-days", "-1").code == 2
    refused = reid("gallery", "create", "a\nb")
    assert (refused.code, refused.err.count("\n")) == (1, 1)


def test_audit_tells_what_was_deleted(reid: Reid, data_dir: Path, market: Path) -> None:
    reid("ingest", market, "--json")
    with open_engine(load_settings()) as engine:
        engine.gallery.erase("default", "0001")
        engine.gallery.erase("default", "0002")
    told = json.loads(reid("gallery", "audit", "--limit", "1", "--json").out)
    [entry] = told["entries"]
    assert (entry["action"], entry["gallery"], entry["verified"]) == ("erase_identity", "default", True)
    older = json.loads(reid("gallery", "audit", "--cursor", told["next_cursor"], "--json").out)
    assert ([each["number"] for each in older["entries"]], older["next_cursor"]) == ([1], None)
    shown, cut = (reid("gallery", "audit", "--limit", str(limit)).out for limit in (2, 1))
    assert "older" not in shown
    assert cut.endswith(f"there are older entries: --cursor {told['next_cursor']} shows them\n")
    table = reid("gallery", "audit").out
    assert table.count("erase_identity") == 2
    assert "0001" not in table
    assert f"{entry['samples']} samples, {entry['pictures']} pictures, {entry['samples']} vectors: clean" in table


def test_audit_is_readable_at_80_characters(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reid("ingest", market, "--json")
    with open_engine(load_settings()) as engine:
        engine.gallery.erase("default", "0001")
        planned = engine.gallery.migrations.plan("market1501-r50@1234567", 16, actor="command line, " + 50 * "x")
        engine.gallery.migrations.cancel(planned.migration_id, "0123456789ab")
    monkeypatch.setenv("COLUMNS", "80")
    rows = [line.split() for line in reid("gallery", "audit").out.splitlines() if line[1:5].isdigit()]
    told = json.loads(reid("gallery", "audit", "--json").out)["entries"]
    assert [f"{row[0]} {row[1]}" for row in rows] == [each["at"][:19].replace("T", " ") for each in told]
    assert [row[2] for row in rows] == ["cancel_migration", "start_migration", "erase_identity"]
    assert rows[0][3] == "0123456789ab"


def test_expire_counts_and_erases(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    assert reid("gallery", "expire").out.startswith("no gallery has a retention")
    assert reid("gallery", "expire", "--dry-run").out.startswith("no gallery has a retention")
    with open_engine(load_settings()) as engine:
        engine.gallery.put_gallery("default", retention_days=1)
    assert json.loads(reid("gallery", "expire", "--json").out)["galleries"][0]["samples_deleted"] == 0
    connection = sqlite3.connect(data_dir / "reid.db")
    connection.execute("UPDATE samples SET enrolled_at = 0 WHERE id <= 5")
    connection.commit()
    connection.close()
    assert reid("gallery", "expire", "--dry-run").out == "default: 5 samples would be erased\n"
    dry = json.loads(reid("gallery", "expire", "--dry-run", "--json").out)
    assert dry == {"galleries": [{"gallery": "default", "samples": 5}]}
    ran = reid("gallery", "expire")
    assert (ran.code, ran.out) == (0, "default: 5 samples, 5 pictures erased\n")
    assert json.loads(reid("gallery", "check", "--json").out)["samples"] == total - 5


def test_backup_and_restore(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    ran = reid("gallery", "backup", tmp_path / "kept", "--json")
    made = json.loads(ran.out)
    assert (ran.code, made["samples"], made["copied"], made["pruned"]) == (0, total, made["pictures"], [])
    assert ran.err == ""
    told = reid("gallery", "backup", tmp_path / "kept", "--keep", "1").out
    assert f"{total} samples, {made['pictures']} pictures, of which 0 new\nremoved {made['name']}\n" in told
    refused = reid("gallery", "restore", tmp_path / "kept")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("reid: expected an empty data folder to restore into, found reid.db")
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "new"))
    gone = reid("gallery", "restore", tmp_path / "kept", "--backup", made["name"])
    assert (gone.code, "expected a backup named" in gone.err) == (1, True)
    done = reid("gallery", "restore", tmp_path / "kept")
    assert done.code == 0
    assert done.out.endswith(f"{total} samples, {made['pictures']} pictures: clean\nits model version is {VERSION}\n")
    assert json.loads(reid("gallery", "check", "--json").out)["samples"] == total
    assert json.loads(reid("gallery", "audit", "--json").out)["entries"][0]["action"] == "restore"


def test_restore_in_json(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reid("ingest", market, "--json")
    made = json.loads(reid("gallery", "backup", tmp_path / "kept", "--json").out)
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "new"))
    done = json.loads(reid("gallery", "restore", tmp_path / "kept", "--json").out)
    assert (done["name"], done["clean"], done["report"]["samples"]) == (made["name"], True, made["samples"])
    assert done["missing"] == {}


def test_a_backup_where_there_is_no_gallery_is_refused(reid: Reid, tmp_path: Path) -> None:
    ran = reid("gallery", "backup", tmp_path / "kept")
    assert (ran.code, ran.err) == (
        1,
        f"reid: expected a gallery in {tmp_path}/data, found none: REID_DATA_DIR names the service's data folder\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", "kept", "deep/kept"])
def test_a_backup_in_the_data_folder_is_refused(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(data_dir)
    before = sorted(data_dir.rglob("*"))
    ran = reid("gallery", "backup", place)
    assert ran.code == 1
    assert f"expected a folder apart from the data folder, found {place} in {data_dir}: " in ran.err
    assert sorted(data_dir.rglob("*")) == before


@pytest.mark.parametrize(("saved", "reason"), [(None, "found no tiny@1.zip"), (b"torn", "not a whole archive")])
def test_a_model_version_that_a_backup_lacks_is_told(
    reid: Reid,
    data_dir: Path,
    market: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: bytes | None,
    reason: str,
) -> None:
    reid("ingest", market, "--json")
    reid("gallery", "backup", tmp_path / "kept")
    [file] = (tmp_path / "kept" / "models").iterdir()
    assert file.name == f"{VERSION}.zip"
    if saved is None:
        file.unlink()
    else:
        file.write_bytes(saved)
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "new"))
    done = reid("gallery", "restore", tmp_path / "kept")
    assert done.code == 1
    assert f"clean\nits model version is {VERSION}\n{VERSION} must be brought with reid models import: " in done.out
    assert reason in done.out
    reid("models", "import", data_dir / "models" / "tiny" / "1")
    assert reid("gallery", "check").code == 0


def test_a_backup_whose_model_version_cannot_be_saved_takes_the_place_of_none(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path
) -> None:
    reid("ingest", market, "--json")
    kept = tmp_path / "kept"
    before = json.loads(reid("gallery", "backup", kept, "--json").out)["name"]
    (kept / "models").rename(tmp_path / "models")
    (kept / "models").write_text("not a folder")
    ran = reid("gallery", "backup", kept, "--keep", "1")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "is whole, but without the model versions it needs" in ran.err
    assert ran.err.endswith("models: File exists\n")
    (kept / "models").unlink()
    after = json.loads(reid("gallery", "backup", kept, "--keep", "1", "--json").out)
    assert len(after["pruned"]) == 2
    assert before in after["pruned"]
    assert (kept / "models" / f"{VERSION}.zip").is_file()


def test_suspects_are_listed(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    told = json.loads(reid("gallery", "suspects", "--threshold", "0.2", "--limit", "1", "--json").out)
    assert (told["gallery"], told["model_version"], told["samples"], told["threshold"]) == (
        "default", VERSION, total, 0.2,
    )  # fmt: skip
    assert len(told["merges"]) == 1
    assert set(told["merges"][0]) == {"first", "second", "score"}
    table = reid("gallery", "suspects", "--threshold", "0.2").out
    assert f"of {total - told['alone']} samples look like another identity" in table
    assert told["merges"][0]["first"] in table
    assert (told["by_chance"], "by chance" in table) == (None, False)


def test_suspects_tell_what_has_nothing_to_be_compared_with(reid: Reid, data_dir: Path, market: Path) -> None:
    total = json.loads(reid("ingest", market, "--json").out.splitlines()[-1])["created"]
    with open_engine(load_settings()) as engine:
        left = set()
        for each in engine.gallery.page("default", SampleFilter(), limit=1000).items:
            if each.identity in left:
                engine.gallery.delete("default", each.sample_id)
            left.add(each.identity)
    told = json.loads(reid("gallery", "suspects", "--json").out)
    assert (told["samples"], told["alone"], told["by_chance"]) == (8, 8, 0.001 * 8 * 7 / 2)
    said = reid("gallery", "suspects").out
    assert "0 of 0 samples look like another identity\n8 samples not judged: nothing else of the same" in said
    assert "of 8 identities may be one person; with one sample each, some 0 would by chance" in said
    assert total > 8
