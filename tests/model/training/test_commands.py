import json
from pathlib import Path

import pytest

from app.cli import main
from model.card import read_card
from model.synthetic import write_market
from tests.model.training.datasets.trees import cub200


def reid(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_train_goes_on_where_a_run_ended(
    run: Path, recipe_file: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reid("train", "--data", market, "--recipe", recipe_file, "--out", run, "--device", "cpu", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"rank1", "mAP", "mINP"}


def test_evaluate_prints_the_figures_of_the_card(
    folder: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row.precision: row for row in read_card(folder / "card.json").metrics if row.protocol.endswith("test")}
    for precision in ("fp32", "int8"):
        assert reid("evaluate", "--model", folder, "--data", market, "--precision", precision, "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["version"] == "tiny@1"
        assert printed["precision"] == precision
        assert printed["mAP"] == pytest.approx(rows[precision].mAP)
    assert reid("evaluate", "--model", folder, "--data", market) == 0
    assert "mAP" in capsys.readouterr().out


def test_another_data_set_is_evaluated_by_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reid("evaluate", "--model", folder, "--data", cub200(tmp_path), "--dataset", "cub200", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["queries"], printed["skipped"], printed["gallery"]) == (4, 0, 4)


def test_all_broken_pictures_of_a_data_set_are_one_line(
    folder: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_market(tmp_path / "market", train_identities=9, test_identities=2, cameras=3, views=2)
    for part in ("bounding_box_train", "query"):
        for path in sorted((root / part).iterdir())[:2]:
            path.write_bytes(path.read_bytes()[:-20])
    runs: tuple[list[str | Path], ...] = (
        ["train", "--recipe", recipe_file, "--out", tmp_path / "run"],
        ["evaluate", "--model", folder],
    )
    for arguments in runs:
        assert reid(*arguments, "--data", root) == 1
        error = capsys.readouterr().err
        assert "reid: 2 of" in error
        assert "Traceback" not in error


@pytest.mark.parametrize("verb", ["train", "evaluate", "export"])
def test_a_folder_that_is_no_data_set_is_one_line(
    verb: str, run: Path, folder: Path, recipe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments: dict[str, list[str | Path]] = {
        "train": ["--recipe", recipe_file, "--out", tmp_path / "run"],
        "evaluate": ["--model", folder],
        "export": ["--run", run, "--out", tmp_path / "version"],
    }
    assert reid(verb, "--data", tmp_path, *arguments[verb]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert "an empty folder; expected one of market1501: the folders bounding_box_train" in line


def test_export_without_a_run_is_one_line(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("export", "--run", tmp_path, "--data", market, "--out", tmp_path / "version") == 1
    assert "expected a training run" in capsys.readouterr().err
