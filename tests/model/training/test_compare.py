import json
import shutil
from pathlib import Path

import pytest

from app.cli import main
from model.errors import RecipeError
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.training.compare import read_runs, write_comparison
from model.training.journal import HISTORY
from model.training.recipe import differing


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """The same run under a recipe with another margin, and a better mAP."""
    folder = tmp_path / run.name
    folder.mkdir()
    found = load_checkpoint(run)
    loss = found.recipe.loss.model_copy(update={"margin": 1.5})
    recipe = found.recipe.model_copy(update={"loss": loss})
    save_checkpoint(Checkpoint(**{**vars(found), "recipe": recipe}), folder)
    row = {"kind": "validation", "time": 0, "step": 9, "epoch": 2, "rank1": 1.0, "mAP": 0.875, "mINP": 0.5}
    (folder / HISTORY).write_text(json.dumps(row) + "\n")
    return folder


def test_only_what_differs_is_told_and_names_tell_apart(run: Path, other: Path) -> None:
    runs = read_runs([run, other])
    assert differing([run.recipe for run in runs]) == {"loss.margin": ["0.3", "1.5"]}
    assert runs[0].name != runs[1].name
    assert runs[1].last.values["mAP"] == 0.875


def test_the_page_shows_both(run: Path, other: Path, tmp_path: Path) -> None:
    write_comparison(read_runs([run, other]), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<svg") == 3
    assert "87.5" in text
    assert "loss.margin" in text


def test_the_verb_prints_and_writes(run: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(run), str(other), "--out", str(page), "--json"])
    assert not ended.value.code
    printed = json.loads(capsys.readouterr().out)
    assert [row["mAP"] for row in printed["runs"]][1] == 0.875
    assert printed["differences"] == {"loss.margin": ["0.3", "1.5"]}
    assert printed["runs"][1]["no_difference"] == "not recorded"
    assert page.is_file()


def test_names_in_brackets_are_printed_as_they_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [shutil.copytree(run, tmp_path / name) for name in ("sgd[lr=1e-4]", "sgd[lr=1e-3]")]
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, folders)])
    assert not ended.value.code
    head = capsys.readouterr().out.splitlines()[1]
    assert "sgd[lr=1e-4]" in head
    assert "sgd[lr=1e-3]" in head


def test_what_cannot_be_compared_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two runs or more"):
        read_runs([run])
    with pytest.raises(RecipeError, match="runs that differ"):
        read_runs([run, run])
    with pytest.raises(RecipeError, match="expected a training run"):
        read_runs([run, tmp_path])
    begun = tmp_path / "begun"
    shutil.copytree(run, begun)
    (begun / HISTORY).write_text("")
    with pytest.raises(RecipeError, match="let it train on"):
        read_runs([run, begun])
