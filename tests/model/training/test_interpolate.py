import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch

from app.cli import main
from model.errors import RecipeError
from model.training.checkpoint import load_checkpoint
from model.training.datasets.reading import read_dataset
from model.training.difference import Difference
from model.training.interpolate import Between, Line
from model.training.journal import read_history
from model.training.recipe import Recipe, override, read_recipe
from model.training.train import train


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return override(read_recipe(str(recipe_file)), {"precision": "float32"})


@pytest.fixture(scope="module")
def second(recipe: Recipe, run: Path, market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that began from the first."""
    out = tmp_path_factory.mktemp("runs") / "second"
    train(recipe, read_dataset(market), out, weights=run, device="cpu")
    return out


def reid(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_a_share_is_of_every_weight_and_statistic_and_its_ends_are_the_runs(
    run: Path, second: Path, market: Path
) -> None:
    line = Line.read(run, second, read_dataset(market), device="cpu")
    first, last = load_checkpoint(run).served, load_checkpoint(second).served
    for share in (0.0, 0.25, 1.0):
        for name, value in line.network(share).state_dict().items():
            if value.is_floating_point():
                assert torch.allclose(value, (1 - share) * first[name] + share * last[name], atol=1e-6), name
    ends = list(line.measure([0.0, 1.0]))
    told = [row for row in read_history(second) if row.kind == "validation"][-1]
    assert ends[1].plain.mAP == pytest.approx(told.values["mAP"])
    assert ends[0].plain.mAP != ends[1].plain.mAP
    assert ends[1].balanced.mAP != ends[1].plain.mAP


def test_the_verb_shows_eleven_shares_and_writes_one_as_a_run(
    run: Path, second: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("interpolate", run, second, "--data", market, "--device", "cpu")
    assert reid(*asked, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["share"] for row in rows] == [tenth / 10 for tenth in range(11)]
    out = tmp_path / "be tween"
    assert {row["no_difference"] for row in rows} == {"too few people: 6 of 10"}
    assert reid(*asked, "--share", 0.3, "--out", out) == 0
    assert f"reid export --run '{out}'" in capsys.readouterr().out
    written = load_checkpoint(out)
    assert written.recipe.description.endswith(f"Then 0.3 of the weights of second and the rest {run.name}'s.")
    assert written.recipe.stages == load_checkpoint(second).recipe.stages
    (row,) = read_history(out)
    assert row.values["mAP"] == pytest.approx(rows[3]["mAP"])
    assert (out / "report.html").is_file()
    line = Line.read(out, second, read_dataset(market), device="cpu")
    assert next(line.measure([0.0])).balanced.mAP == pytest.approx(rows[3]["white_balance_mAP"])

    assert reid(*asked, "--share", 0.3, "--out", out) == 1
    assert "holds a run; give another --out" in capsys.readouterr().err
    assert reid(*asked, "--share", 0.3) == 1
    assert "expected --share and --out together" in capsys.readouterr().err


def test_shares_are_measured_against_the_best_on_the_same_people(
    run: Path,
    second: Path,
    market: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured: list[Between] = []
    measure = Line.measure

    def measure_once(line: Line, shares: Iterable[float]) -> Iterator[Between]:
        measured.extend(() if measured else measure(line, shares))
        return iter(measured)

    monkeypatch.setattr("model.training.difference.LEAST_PEOPLE", 6)
    monkeypatch.setattr(Line, "measure", measure_once)
    asked = ("interpolate", run, second, "--data", market, "--device", "cpu")
    assert reid(*asked, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    for mAP, difference in (("mAP", "difference"), ("white_balance_mAP", "white_balance_difference")):
        best = max(rows, key=lambda row: float(row[mAP]))
        assert best[difference] == {"mAP": 0, "low": 0, "high": 0}
        for row in rows:
            assert row[difference]["mAP"] == pytest.approx(row[mAP] - best[mAP])
            assert row[difference]["low"] <= row[difference]["mAP"] <= row[difference]["high"]

    assert reid(*asked) == 0
    lines = capsys.readouterr().out.splitlines()[-len(rows) :]
    for row, line in zip(rows, lines, strict=True):
        gained, shifted = (str(Difference(**row[name])) for name in ("difference", "white_balance_difference"))
        figures = (row["rank1"], row["mAP"], row["white_balance_mAP"])
        rank1, mAP, balanced = (f"{100 * value:.1f}" for value in figures)
        cells = [cell for cell in re.split(r"  +", line.strip()) if cell]
        assert [*cells[:2], *cells[3:]] == [f"{row['share']:g}", rank1, mAP, gained, balanced, shifted]


def test_runs_in_folders_of_one_name_are_told_apart_and_one_run_is_refused(
    second: Path, market: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(second, tmp_path / "other" / second.name)
    line = Line.read(other, second, read_dataset(market), device="cpu")
    assert line.names == ["other/second", f"{second.parent.name}/second"]
    with pytest.raises(RecipeError, match="expected runs that differ"):
        Line.read(second, second, read_dataset(market), device="cpu")


def test_runs_of_two_networks_or_of_other_people_have_nothing_between_them(
    recipe: Recipe, run: Path, market: Path, weights: Path, tmp_path: Path
) -> None:
    short = recipe.model_copy(update={"stages": recipe.stages[:1]})
    changes: dict[str, dict[str, object]] = {"wider": {"network.embedding_dim": 48}, "other": {"seed": 2}}
    for name, change in changes.items():
        train(override(short, change), read_dataset(market), tmp_path / name, weights=weights, device="cpu")
    with pytest.raises(RecipeError, match="two networks"):
        Line.read(run, tmp_path / "wider", read_dataset(market), device="cpu")
    with pytest.raises(RecipeError, match=r"trained on other images .* runs of the same held_out_identities and seed"):
        Line.read(run, tmp_path / "other", read_dataset(market), device="cpu")
