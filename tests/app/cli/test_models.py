import json
import sys
from pathlib import Path

import pytest

from app.cli import migrations
from app.cli.promotion import caller
from model.promotion import approve
from model.registry import Registry
from tests.app.cli.conftest import Reid
from tests.app.parts import VERSION, write_version
from tests.tiny_model import CALIBRATION


def test_list_marks_the_active_version(reid: Reid, data_dir: Path) -> None:
    listed = json.loads(reid("models", "list", "--json").out)
    assert listed["active"] == VERSION
    assert {item["version"]: item["active"] for item in listed["items"]}[VERSION] is True
    [line] = [line for line in reid("models", "list").out.splitlines() if VERSION in line]
    assert line.split()[0] == "*"
    assert "128×64" in line


def test_a_long_version_is_read_whole_at_80_characters(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "market1501-msmt17-r50-recalibrated@12"
    write_version(data_dir / "models", long)
    monkeypatch.setenv("COLUMNS", "80")
    heading, *lines = reid("models", "list").out.splitlines()
    where = slice(heading.index("version"), heading.index("input"))
    assert long in "".join(line[where].strip() for line in lines)
    assert "…" not in "".join(lines)


def test_show_prints_the_card(reid: Reid, data_dir: Path) -> None:
    shown = json.loads(reid("models", "show", VERSION, "--json").out)
    assert shown["card"]["version"] == VERSION
    told = reid("models", "show", VERSION).out
    assert told.split()[:5] == ["version", f"{VERSION},", "the", "active", "one"]
    assert len(told.splitlines()) < 30


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

    entry, *_ = json.loads(reid("gallery", "audit", "--json").out)["entries"]
    assert (entry["action"], entry["actor"], entry["migration_id"], entry["source"], entry["target"]) == (
        "roll_back_migration", caller(), moved["migration_id"], VERSION, "tiny@2",
    )  # fmt: skip
    lines = [line for line in reid("gallery", "audit").out.splitlines() if f"{VERSION} → tiny@2" in line]
    assert [line.split()[2] for line in lines] == [
        "roll_back_migration", "switch_version", "start_migration",
    ]  # fmt: skip

    said = reid("models", "activate", "tiny@2").out
    assert "reid migrations finalize" in said
    again = json.loads(reid("migrations", "list", "--json").out)["items"][0]
    assert json.loads(reid("migrations", "finalize", again["migration_id"], "--json").out)["state"] == "finalized"
    assert again["migration_id"] in reid("migrations", "list").out
    assert reid("gallery", "check").code == 0


def test_a_move_says_whose_verdict_it_changes(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_SERVICE_SECONDS", 0.0)  # there is none
    lenient = tuple(each.model_copy(update={"threshold": -1.0, "low": -1.0}) for each in CALIBRATION.thresholds)
    calibration = CALIBRATION.model_copy(update={"thresholds": lenient})
    write_version(data_dir / "models", "lenient@1", calibration=calibration)
    assert reid("ingest", market, "--json").code == 0
    said = reid("models", "activate", "lenient@1").out.splitlines()
    verdicts = json.loads(reid("migrations", "list", "--json").out)["items"][0]["validation"]["verdicts"]
    both, gained = verdicts["match_in_both"], verdicts["only_target"]
    assert gained > 0
    assert said[1].endswith(f"{both} had a match with {VERSION}, {both + gained} have one now")


def test_an_unknown_version_is_told(reid: Reid, data_dir: Path) -> None:
    ran = reid("models", "show", "nobody@9")
    assert ran.code == 1
    assert "nobody@9: bring it with" in ran.err
    assert reid("models", "show", "tiny").err.endswith("found tiny: a version is NAME@N\n")


def test_a_folder_without_a_card_is_told(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    ran = reid("models", "import", tmp_path)
    assert ran.code == 1
    assert "card.json" in ran.err


def test_show_tells_who_made_a_version_live(reid: Reid, data_dir: Path) -> None:
    registry = Registry(data_dir / "models")
    registry.record_promotion(approve(registry, VERSION, None, force=False, by="anna"))
    [promotion] = json.loads(reid("models", "show", VERSION, "--json").out)["promotions"]
    assert (promotion["version"], promotion["forced"]) == (VERSION, False)
    assert reid("models", "show", VERSION).out.splitlines()[-1].split()[2:] == ["anna", "–", "–"]


def test_check_lists_what_speaks_against_a_version(reid: Reid, data_dir: Path) -> None:
    write_version(data_dir / "models", "bare@1", calibration=None)
    refused = reid("models", "check", "bare@1")
    assert refused.code == 1
    assert refused.out.splitlines()[0] == f"bare@1 should not go live in place of {VERSION}:"
    assert "- calibration: missing" in refused.out
    told = json.loads(reid("models", "check", "bare@1", "--json").out)
    assert (told["version"], told["active"], len(told["reasons"])) == ("bare@1", VERSION, 1)
    write_version(data_dir / "models", "good@1")
    passed = reid("models", "check", "good@1")
    assert (passed.code, passed.out) == (0, f"nothing speaks against good@1 in place of {VERSION}\n")
    assert "no-such-set" in reid("models", "check", "good@1", "--check-set", "no-such-set").out


def test_diff_prints_what_differs_and_every_figure(reid: Reid, data_dir: Path) -> None:
    write_version(data_dir / "models", "other@1", shift=90.0)
    lines = reid("models", "diff", VERSION, "other@1").out.splitlines()
    sections = [line.split()[0] for line in lines[1:-1] if not line.startswith("  ")]
    assert sections == ["metrics", "thresholds", "parity", "files"]
    assert any("fp32 mAP" in line and "+0" in line for line in lines)
    assert not any("input.height" in line for line in lines)
    assert lines[-1] == "1  none: made up for tests; test; 100 queries, 500 in the gallery"
    assert "input.height" in reid("models", "diff", VERSION, "other@1", "--all").out
    told = json.loads(reid("models", "diff", VERSION, "other@1", "--json").out)
    [file] = [row for row in told["rows"] if row["section"] == "files"]
    assert (file["name"], file["differs"], len(file["first"])) == ("model.onnx", True, 64)


def test_a_version_goes_out_and_comes_in_as_one_file(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    write_version(data_dir / "models", "other@1")
    file = tmp_path / "other.zip"
    told = json.loads(reid("models", "export", "other@1", file, "--json").out)
    assert (told["version"], told["bytes"]) == ("other@1", file.stat().st_size)
    assert json.loads(reid("models", "remove", "other@1", "--json").out) == {"removed": "other@1"}
    assert reid("models", "show", "other@1").code == 1
    assert json.loads(reid("models", "import", file, "--json").out) == {"version": "other@1"}
    file.write_bytes(file.read_bytes()[:-100])
    assert reid("models", "import", file).err.startswith("reid: this is not a whole archive of `reid models export`")


def test_a_version_that_is_needed_is_not_removed(
    reid: Reid, data_dir: Path, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(data_dir / "models", "other@1")
    assert "is the active version" in reid("models", "remove", VERSION).err
    assert reid("ingest", market, "--json").code == 0
    Registry(data_dir / "models").activate("other@1")  # as if somebody had written the record by hand
    refused = reid("models", "remove", VERSION)
    assert refused.code == 1
    assert "embeddings of it" in refused.err
    write_version(data_dir / "models", "third@1")
    monkeypatch.setenv("REID_MODEL", "third@1")
    assert "REID_MODEL names it" in reid("models", "remove", "third@1").err
    assert (data_dir / "models" / "third" / "1" / "model.onnx").exists()


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_a_version_goes_to_mlflow_and_comes_back(
    reid: Reid, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    write_version(data_dir / "models", "other@1")
    assert json.loads(reid("models", "push", "other@1", "--json").out) == {
        "name": "other",
        "number": "1",
        "added": True,
    }
    assert reid("models", "push", "other@1").out == "other@1: there already as version 1 of other in MLflow\n"
    assert reid("models", "remove", "other@1").code == 0
    assert json.loads(reid("models", "pull", "other", "--json").out) == {"version": "other@1"}
    assert reid("models", "pull", "nobody").code == 1


def test_mlflow_without_an_address_is_wrong_usage(reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert reid("models", "push", VERSION).code == 2


def test_listing_versions_needs_no_mlflow(reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "model.mlflow_registry", raising=False)
    monkeypatch.delitem(sys.modules, "model.mlflow_server", raising=False)
    assert reid("models", "list").code == 0
    refused = reid("models", "push", VERSION, "--mlflow", "http://127.0.0.1:9")
    assert (
        refused.err
        == f"reid: this needs mlflow, which is not installed: {sys.executable} -m pip install 'hap2s-reid[mlflow]'\n"
    )
