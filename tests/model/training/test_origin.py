import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli import main
from model.card import WEIGHTS, read_card, write_card
from model.errors import RecipeError
from model.parity import TOLERANCES
from model.registry import Registry
from model.training.augment import normalise
from model.training.checkpoint import load_checkpoint
from model.training.network import ReidNetwork, load_trained
from model.training.origin import read_origin, write_weights
from model.training.recipe import Recipe, read_recipe
from model.trial import draw
from tests.model.training.conftest import LOOSE


def reid(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def registry(folder: Path, tmp_path: Path) -> Registry:
    """Return a registry with the exported version, which is active."""
    registry = Registry(tmp_path / "models")
    registry.import_version(folder)
    registry.activate("tiny@1")
    return registry


@pytest.fixture
def still(recipe_file: Path, tmp_path: Path) -> Path:
    """Return the recipe at a rate at which nothing is learnt: what a run begins with is what it ends with."""
    path = tmp_path / "still.toml"
    path.write_text(recipe_file.read_text().replace("rate = 3e-4", "rate = 1e-30\nweight_decay = 0.0"))
    return path


def test_weights_in_a_version_are_the_runs_in_half_precision(run: Path, folder: Path) -> None:
    served = load_checkpoint(run).served
    origin = read_origin(folder)
    assert (origin.version, origin.data_sha256) == ("tiny@1", load_checkpoint(run).data_sha256)
    assert origin.weights.keys() == served.keys()
    for name, value in served.items():
        stored = origin.weights[name]
        assert stored.dtype == (torch.float16 if value.ndim > 1 else value.dtype), name
        assert torch.equal(stored, value.to(stored.dtype)), name
    assert (folder / WEIGHTS).stat().st_size < 0.55 * (folder / "model.onnx").stat().st_size


def test_weights_too_large_for_half_precision_stay_exact(tmp_path: Path) -> None:
    large = torch.full((2, 2), 1e6)
    (tmp_path / "version").mkdir()
    write_weights({"layer": large}, tmp_path / WEIGHTS)
    from safetensors.torch import load_file

    assert torch.equal(load_file(tmp_path / WEIGHTS)["layer"], large)


def test_network_from_a_version_embeds_as_its_run(run: Path, folder: Path) -> None:
    checkpoint = load_checkpoint(run)
    pictures = torch.rand(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    embedded = []
    for weights in (checkpoint.served, read_origin(folder).weights):
        network = ReidNetwork(checkpoint.recipe.network, checkpoint.identities).eval()
        network.load_state_dict(weights)
        with torch.inference_mode():
            embedded.append(network.embed(pictures).numpy())
    assert np.einsum("nd,nd->n", *embedded).min() > 0.9999


def test_version_without_weights_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    card = read_card(folder / "card.json")
    write_card(card, tmp_path / "card.json")
    with pytest.raises(RecipeError, match="--with-weights"):
        read_origin(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(RecipeError, match="--with-weights"):
        read_origin(tmp_path)


def test_run_begins_from_a_registered_version(registry: Registry, still: Path, market: Path, tmp_path: Path) -> None:
    known = ("--data", market, "--registry", registry.root, "--device", "cpu")
    assert reid("train", *known, "--recipe", still, "--weights", "tiny@1", "--out", tmp_path / "run") == 0
    ended = load_checkpoint(tmp_path / "run")
    begun = read_origin(registry.weights("tiny@1")).weights
    assert ended.parent == "tiny@1"
    assert ended.recipe == read_recipe(str(still))
    for name in ("classifier.weight", "backbone.layer4.1.conv2.weight", "backbone.conv1.weight"):
        assert torch.allclose(ended.network[name], begun[name].float(), atol=1e-6), name


@pytest.mark.filterwarnings("ignore")  # torch's exporter
def test_fine_tuned_version_names_its_parent_and_is_measured_beside_it(
    registry: Registry,
    recipe_file: Path,
    market: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(TOLERANCES, "int8", LOOSE)
    monkeypatch.setenv("REID_REGISTRY_DIR", str(registry.root))
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path))
    run, out = tmp_path / "run", tmp_path / "version"
    data = ("--data", market)
    assert reid("train", *data, "--recipe", recipe_file, "--weights", "tiny@1", "--out", run, "--device", "cpu") == 0
    assert reid("export", *data, "--run", run, "--out", out, "--version", "tiny@2") == 0
    assert reid("models", "import", out) == 0
    card, before = registry.card("tiny@2"), registry.card("tiny@1")
    assert card.parent == "tiny@1"
    assert card.baseline is not None
    assert card.baseline.version == "tiny@1"
    assert [row.mAP for row in card.baseline.metrics] == [
        pytest.approx(row.mAP, abs=0.01) for row in before.metrics if row.precision == "int8"
    ]
    capsys.readouterr()
    reid("models", "check", "tiny@2", "--margin", "100", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["active"]) == ("tiny@2", "tiny@1")
    [reason] = told["reasons"]
    assert reason.startswith("calibration: no threshold at the usual")  # so few people were held out


def test_version_of_another_network_is_refused(
    registry: Registry, recipe_file: Path, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(recipe_file.read_text().replace("embedding_dim = 32", "embedding_dim = 16"))
    known = ("--data", market, "--registry", registry.root, "--device", "cpu", "--recipe", other)
    assert reid("train", *known, "--weights", "tiny@1", "--out", tmp_path / "run") == 1
    assert "another network than the recipe" in capsys.readouterr().err
    assert reid("train", *known, "--weights", "tiny@9", "--out", tmp_path / "run") == 1
    assert "tiny@9" in capsys.readouterr().err


def test_registered_version_without_weights_is_refused(
    registry: Registry,
    folder: Path,
    recipe_file: Path,
    market: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without = shutil.copytree(folder, tmp_path / "without")
    (without / WEIGHTS).unlink()
    card = read_card(without / "card.json")
    files = {name: digest for name, digest in card.files.items() if name != WEIGHTS}
    write_card(card.model_copy(update={"version": "tiny@3", "files": files}), without / "card.json")
    registry.import_version(without)
    known = ("--data", market, "--registry", registry.root, "--device", "cpu", "--recipe", recipe_file)
    assert reid("train", *known, "--weights", "tiny@3", "--out", tmp_path / "run") == 1
    assert "--with-weights" in capsys.readouterr().err


def test_training_can_begin_from_the_bundled_version(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    version = registry.active()
    card = registry.card(version)
    weights = read_origin(registry.weights(version)).weights
    network = ReidNetwork(Recipe.model_validate(card.recipe).network, len(weights["classifier.weight"])).eval()
    load_trained(network, weights)
    people = draw(card.input.height, card.input.width)
    with torch.inference_mode():
        expected = network.embed(normalise(torch.from_numpy(people).permute(0, 3, 1, 2))).numpy()
    found = registry.open(version, threads=1).embed(people)
    assert np.einsum("nd,nd->n", expected, found).min() > 0.97


def test_who_may_read_other_files_may_read_the_weights(tmp_path: Path) -> None:
    write_weights({"layer": torch.ones(2, 2)}, tmp_path / WEIGHTS)
    (tmp_path / "other").write_text("")
    assert (tmp_path / WEIGHTS).stat().st_mode == (tmp_path / "other").stat().st_mode
