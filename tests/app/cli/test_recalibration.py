import json
from pathlib import Path

import pytest

from app import suspects
from app.engine import open_engine
from app.settings import load_settings
from model.synthetic import write_market
from tests.app.cli.conftest import Reid
from tests.app.parts import VERSION


def test_a_gallery_gives_the_thresholds_of_a_new_version(
    reid: Reid, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "MOST", 3)
    people = write_market(tmp_path / "people", train_identities=0, test_identities=25, cameras=3, views=3)
    assert reid("ingest", people, "--json").code == 0
    shown = reid("models", "recalibrate")
    assert shown.code == 0
    assert "no threshold at 0.0001: expected 300000 pairs of different people, found" in shown.out
    assert "those taken for one of 49 people enrolled" in shown.out
    assert "strangers taken for somebody" in shown.out
    assert "±" not in shown.out  # of one division there is no deviation
    assert "wrong labels spoil thresholds" in shown.out
    assert shown.out.endswith("nothing was registered; --as NAME@N does it\n")
    ran = reid("models", "recalibrate", "--as", "tiny@2", "--without-suspects", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["source"], told["version"]) == (VERSION, "tiny@2")
    card = json.loads(reid("models", "show", "tiny@2", "--json").out)["card"]
    assert card["calibration"] == told["calibration"]
    counts = {"samples", "without_camera", "suspects", "missing"}
    assert set(told) == {"source", "version", "calibration", "strangers_let_through", "open_set", *counts}
    assert card["open_set"] == told["open_set"]
    assert len(told["strangers_let_through"]) == len(told["calibration"]["thresholds"])
    assert {each["measure"] for each in card["reference"]["measures"]} >= {"score", "brightness", "sharpness"}
    assert card["reference"]["protocol"].startswith(f"{told['samples']} samples of 50 identities")
    assert told["suspects"] == 3
    with open_engine(load_settings()) as engine:
        assert engine.gallery.model_version == VERSION
    again = reid("models", "recalibrate", "--as", "tiny@2")
    assert (again.code, "which is registered" in again.err) == (1, True)


def test_too_few_people_are_told(reid: Reid, data_dir: Path, market: Path) -> None:
    reid("ingest", market, "--json")
    ran = reid("models", "recalibrate")
    assert (ran.code, ran.err.startswith("reid: expected 20 identities or more")) == (1, True)


def test_a_version_without_the_usual_rate_is_told_and_refused(
    reid: Reid, data_dir: Path, market: Path, tmp_path: Path
) -> None:
    people = write_market(tmp_path / "people", train_identities=0, test_identities=20, cameras=2, views=3)
    assert reid("ingest", people, "--json").code == 0
    ran = reid("models", "recalibrate", "--as", "tiny@2")
    assert "no threshold at 0.001: expected 30000 pairs" in ran.out
    assert ran.out.splitlines()[-1].startswith(
        "registered tiny@2, which gives no verdict to a query that names no false"
    )
    refused = reid("models", "activate", "tiny@2")
    assert (refused.code, "no threshold at the usual false match rate of 0.001, only at 0.01" in refused.err) == (
        1,
        True,
    )
    assert reid("models", "activate", "tiny@2", "--force").code == 0
    query = next((people / "query").iterdir())
    assert "the model has no threshold at the usual false match rate of 0.001" in reid("query", query).out
    assert "threshold 0." in reid("query", query, "--false-match-rate", "0.01").out
