import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from app.cli import main
from model.card import read_card
from model.parity import TOLERANCES
from model.registry import Registry
from model.synthetic import write_market
from model.training.checkpoint import load_checkpoint
from model.training.recipe import override, read_recipe
from model.training.version_commands import print_metrics
from tests.model.training.conftest import LOOSE
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


def test_the_next_command_names_the_data_set_where_it_was_named(
    run: Path, recipe_file: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = ("train", "--data", market, "--recipe", recipe_file, "--out", run, "--device", "cpu")
    for named in ((), ("--dataset", "market1501")):
        assert reid(*known, *named) == 0
        told = ("reid", "export", "--run", run, "--data", market, *named, "--out", f"{run}-export")
        assert capsys.readouterr().out.endswith(f"next: {shlex.join(map(str, told))}\n")


def test_train_takes_settings_beside_the_recipe(
    run: Path, recipe_file: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = ("train", "--data", market, "--recipe", recipe_file, "--weights", run, "--out", tmp_path / "run")
    assert reid(*known, "--set", "held_out_identities=20") == 1
    assert "such as --set held_out_identities=2" in capsys.readouterr().err
    assert reid(*known, "--set", "loss.form=extreme", "--set", "optimiser.speed=1") == 1
    assert "found optimiser.speed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert reid(*known, "--set", "loss.form=extreme", "--set", "stages.1.epochs=2", "--device", "cpu") == 0
    trained = load_checkpoint(tmp_path / "run").recipe
    assert (trained.loss.form, trained.epochs, trained.loss.softplus) == ("extreme", 3, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("study", "nope", "--out", "study"), "expected a study out of "),
        (("export", "--run", "nope", "--out", "version"), "expected a training run with a checkpoint.pt in nope"),
        (("export", "--run", "nope", "--out", "version", "--int8-only", "--fp32-only"), "found both: without either"),
        (("interpolate", "nope", "nope"), "expected a training run with a checkpoint.pt in nope"),
        (("train", "--weights", "nope@1", "--out", "run"), "found nope@1: "),
        (
            ("train", "--device", "cuda:1", "--out", "run"),
            "expected the device cpu or cuda, found cuda:1; CUDA_VISIBLE",
        ),
        (("study", "losses", "--device", "gpu", "--out", "study"), "expected the device cpu or cuda, found gpu"),
    ],
)
def test_what_else_is_wrong_is_told_before_the_data_is_read(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reid(*arguments, "--data", "nowhere") == 1
    assert expected in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert reid("train", "--device", "cuda", "--data", "nowhere", "--out", "run") == 1
    assert "expected a GPU for --device cuda, found none" in capsys.readouterr().err


def test_people_who_are_only_to_be_measured_are_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_market(tmp_path / "drawn", train_identities=0, test_identities=4, cameras=2, views=2)
    assert reid("train", "--data", data, "--out", tmp_path / "run") == 1
    assert f"expected train images in {data / 'bounding_box_train'}, found none; " in capsys.readouterr().err


def test_recipe_prints_one_to_train_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("recipe", "paper", "--set", "loss.sigma=2") == 0
    mine = tmp_path / "mine.toml"
    mine.write_text(capsys.readouterr().out)
    assert read_recipe(str(mine)) == override(read_recipe("paper"), {"loss.sigma": 2.0})
    assert reid("recipe", mine, "--set", "loss.sigma=-2") == 1
    assert "loss.sigma" in capsys.readouterr().err
    assert reid("recipe", "nothing") == 1
    assert "expected a recipe out of cpu" in capsys.readouterr().err


def test_evaluate_prints_the_figures_of_the_card(
    folder: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row.precision: row for row in read_card(folder / "card.json").metrics if row.protocol.endswith("test")}
    for precision in ("fp32", "int8"):
        assert reid("evaluate", "--model", folder, "--data", market, "--precision", precision, "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["version"] == "tiny@1"
        (row,) = printed["metrics"]
        assert row["precision"] == precision
        assert row["mAP"] == pytest.approx(rows[precision].mAP)
    assert reid("evaluate", "--model", folder, "--data", market) == 0
    assert "mAP" in capsys.readouterr().out


def test_evaluate_takes_no_other_file_than_the_cards(
    folder: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.int8.onnx").write_bytes((copy / "model.onnx").read_bytes())
    assert reid("evaluate", "--model", copy, "--data", market) == 1
    assert "expected model.int8.onnx with sha256" in capsys.readouterr().err
    (copy / "model.int8.onnx").unlink()
    assert reid("evaluate", "--model", copy, "--data", market) == 1
    assert "expected the file model.int8.onnx, found none" in capsys.readouterr().err
    card = json.loads((copy / "card.json").read_text())
    del card["files"]["model.int8.onnx"]
    (copy / "card.json").write_text(json.dumps(card))
    assert reid("evaluate", "--model", copy, "--data", market, "--precision", "int8") == 1
    assert "expected an int8 file in tiny@1, found model.onnx" in capsys.readouterr().err
    assert reid("evaluate", "--model", copy, "--data", market, "--json") == 0  # by the one that there is
    assert json.loads(capsys.readouterr().out)["metrics"][0]["precision"] == "fp32"


def test_evaluate_prints_a_row_per_variant(folder: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--flip", "--white-balance", "--rerank", "--multi-query", "--single-shot")
    assert reid("evaluate", "--model", folder, "--data", market, *asked, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    assert len(rows) == 15
    assert len({row["protocol"] for row in rows}) == 15
    assert sum("flip averaged" in row["protocol"] for row in rows) == 5
    assert sum("white balance" in row["protocol"] for row in rows) == 5
    assert reid("evaluate", "--model", folder, "--data", market, "--rerank") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"{number}  {row['protocol']}" for number, row in enumerate(rows[:2], start=1)]
    assert f"{rows[1]['mAP']:.1f}" in lines[-3]


def test_a_data_set_without_cameras_is_measured_by_its_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cub200(tmp_path)
    assert reid("evaluate", "--model", folder, "--data", data, "--dataset", "cub200", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["queries"], printed["skipped"]) == (4, 0)
    assert 0 <= printed["recall@1"] <= printed["recall@2"] <= 100
    assert reid("evaluate", "--model", folder, "--data", data) == 0
    assert "recall@1" in capsys.readouterr().out


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
        "export": ["--run", run, "--out", tmp_path / "version", "--version", "tiny@1"],
    }
    assert reid(verb, "--data", tmp_path, *arguments[verb]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert "an empty folder; expected one of market1501, cuhk03-labeled, " in line


def test_export_without_a_version_takes_the_name_of_the_run_and_its_next_number(
    run: Path, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TOLERANCES, "int8", LOOSE)
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "data"))
    mine = shutil.copytree(run, tmp_path / "mine")
    version = tmp_path / "the version"
    arguments = ("export", "--run", mine, "--data", market, "--out", version, "--baseline", "none")
    assert reid(*arguments) == 0
    assert capsys.readouterr().out.endswith(f"next: reid models import '{version}'\n")
    assert read_card(version / "card.json").version == "mine@1"
    Registry(tmp_path / "data" / "models").import_version(version)
    assert reid(*arguments) == 0
    assert read_card(version / "card.json").version == "mine@2"


def test_a_run_whose_name_is_none_for_a_version_is_one_line(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reid("export", "--run", tmp_path / "A b", "--data", market, "--out", tmp_path / "version") == 1
    assert "'A b' cannot be a version's name" in capsys.readouterr().err


def test_a_run_is_not_measured_as_a_version(run: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("evaluate", "--data", market, "--model", run) == 1
    assert f"{run} is a training run: make a version of it by reid export" in capsys.readouterr().err


def test_queries_that_were_skipped_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = read_card(folder / "card.json").metrics[0].model_copy(update={"queries": 11, "gallery": 13})
    for skipped in (0, 7):
        print_metrics("", [measured.model_copy(update={"skipped": skipped})])
        headings, row, *_ = (line.split() for line in capsys.readouterr().out.splitlines() if line.strip())
        expected = {"queries": "11", "gallery": "13"} | ({"skipped": "7"} if skipped else {})
        shown = dict(zip(headings, row[1:], strict=True))
        assert {name: value for name, value in shown.items() if name in ("queries", "skipped", "gallery")} == expected


def test_export_without_a_run_is_one_line(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reid("export", "--run", tmp_path / "none", "--data", market, "--out", tmp_path / "version") == 1
    assert "expected a training run" in capsys.readouterr().err


def test_variants_are_refused_where_there_are_no_cameras(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reid("evaluate", "--data", cub200(tmp_path), "--model", folder, "--rerank", "--white-balance") == 1
    assert "expected a data set with cameras for --white-balance, --rerank, found none" in capsys.readouterr().err


def test_an_audit_s_page_is_not_its_list(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (tmp_path, tmp_path / "audit.csv"):
        assert reid("audit", "--data", tmp_path / "none", "--model", folder, "--out", out) == 1
        assert f"expected an HTML page as --out, such as audit.html, found {out}" in capsys.readouterr().err


def test_an_audit_that_is_cut_tells_how_many_there_are(
    folder: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("audit", "--data", market, "--model", folder, "--out", tmp_path / "audit.html")
    assert reid(*asked, "--json") == 0
    every = json.loads(capsys.readouterr().out)
    assert every["found"] == len(every["suspects"]) > 1
    assert reid(*asked, "--limit", "1") == 0
    told = f"{every['found']} of {every['images']} images look like another identity: the worst 1 are in "
    assert told in capsys.readouterr().out
