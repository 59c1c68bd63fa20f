import json
from pathlib import Path

import pytest

from app.cli import main
from model.synthetic import write_market
from model.training.checkpoint import load_checkpoint
from tests.app.parts import VERSION, write_version


def reid(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


def test_training_runs_on_an_exported_gallery(
    recipe_file: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_version(tmp_path / "data" / "models")
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REID_MODEL", VERSION)
    people = write_market(tmp_path / "people", train_identities=0, test_identities=20, cameras=3, views=3)
    reid("ingest", people, "--json")
    reid("gallery", "export-dataset", tmp_path / "set", "--json")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    reid("train", "--data", tmp_path / "set", "--recipe", recipe_file, "--weights", weights, "--out", tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").identities == told["identities"]["train"] - 6  # the recipe holds six out
