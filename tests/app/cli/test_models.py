import json
from pathlib import Path

import pytest

from app.cli import migrations
from tests.app.cli.conftest import Reid
from tests.app.parts import VERSION, write_version


def test_list_marks_the_active_version(reid: Reid, data_dir: Path) -> None:
    listed = json.loads(reid("models", "list", "--json").out)
    assert listed["active"] == VERSION
    assert {item["version"]: item["active"] for item in listed["items"]}[VERSION] is True
    [line] = [line for line in reid("models", "list").out.splitlines() if VERSION in line]
    assert line.split()[0] == "*"
    assert "128×64" in line


def test_show_prints_the_card(reid: Reid, data_dir: Path) -> None:
    shown = json.loads(reid("models", "show", VERSION, "--json").out)
    assert shown["card"]["version"] == VERSION
    assert json.loads(reid("models", "show", VERSION).out) == shown


def test_import_and_activate_while_nothing_is_enrolled(
    reid: Reid, data_dir: Path, tmp_path: Path, market: Path
) -> None:
    write_version(tmp_path / "made", "other@2")
    imported = reid("models", "import", tmp_path / "made" / "other" / "2", "--json")
    assert json.loads(imported.out) == {"version": "other@2"}
    done = json.loads(reid("models", "activate", "other@2", "--json").out)
    assert (done["active"], done["state"]) == ("other@2", "finalized")
    assert json.loads(reid("models", "list", "--json").out)["active"] == "other@2"


def test_a_filled_gallery_is_moved_rolled_back_and_moved_for_good(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_SERVICE_SECONDS", 0.0)  # there is none
    write_version(data_dir / "models", "tiny@2", shift=90.7)
    assert reid("ingest", market, "--json").code == 0
    before = json.loads(reid("gallery", "stats", "--json").out)
    refused = reid("models", "activate", VERSION)
    assert refused.code == 1
    assert refused.err.count("\n") == 1

    moved = json.loads(reid("models", "activate", "tiny@2", "--json").out)
    assert (moved["active"], moved["state"]) == ("tiny@2", "switched")
    shown = json.loads(reid("migrations", "show", moved["migration_id"]).out)
    assert shown["validation"]["passed"] is True
    assert json.loads(reid("models", "list", "--json").out)["active"] == "tiny@2"
    assert json.loads(reid("migrations", "rollback", moved["migration_id"], "--json").out)["state"] == "rolled_back"
    assert json.loads(reid("models", "list", "--json").out)["active"] == VERSION
    assert json.loads(reid("gallery", "stats", "--json").out) == before

    said = reid("models", "activate", "tiny@2").out
    assert "reid migrations finalize" in said
    again = json.loads(reid("migrations", "list", "--json").out)["items"][0]
    assert json.loads(reid("migrations", "finalize", again["migration_id"], "--json").out)["state"] == "finalized"
    assert again["migration_id"] in reid("migrations", "list").out
    assert reid("gallery", "check").code == 0


def test_an_unknown_version_is_told(reid: Reid, data_dir: Path) -> None:
    ran = reid("models", "show", "nobody@9")
    assert ran.code == 1
    assert "nobody@9" in ran.err


def test_a_folder_without_a_card_is_told(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    ran = reid("models", "import", tmp_path)
    assert ran.code == 1
    assert "card.json" in ran.err
