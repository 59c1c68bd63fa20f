from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.errors import DatasetError, RecipeError
from model.training import train as module
from model.training.averaging import Averaged
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.training.datasets.images import LabelledImages, hold_out
from model.training.datasets.reading import read_dataset
from model.training.journal import read_history
from model.training.network import CLASSIFIER, ReidNetwork
from model.training.recipe import NoiseRecipe, Recipe, override, read_recipe
from model.training.train import build_optimiser, fit, rate_factor, read_data, resume, train


class Stopped(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return read_recipe(str(recipe_file)).model_copy(update={"precision": "float32"})


def run(recipe: Recipe, market: Path, out: Path, weights: Path) -> Checkpoint:
    train(recipe, read_dataset(market), out, weights=weights, device="cpu")
    return load_checkpoint(out)


@pytest.fixture(scope="module")
def straight(recipe: Recipe, market: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A run of two epochs of four steps that nothing interrupts."""
    return run(recipe, market, tmp_path_factory.mktemp("straight"), weights)


@pytest.mark.parametrize("stop", [3, 4, 6])  # in the middle of an epoch, after one that is validated, in the next
def test_resumed_training_equals_uninterrupted_training(
    recipe: Recipe,
    market: Path,
    weights: Path,
    straight: Checkpoint,
    stop: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)

    def save_and_stop(checkpoint: Checkpoint, folder: Path) -> None:
        save_checkpoint(checkpoint, folder)
        if checkpoint.step == stop:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", save_and_stop)
        with pytest.raises(Stopped):
            run(recipe, market, tmp_path / "resumed", weights)
    resumed = run(recipe, market, tmp_path / "resumed", weights)

    assert resumed.step == straight.step == 8
    for name, value in straight.network.items():
        assert torch.equal(resumed.network[name], value), name
    rows = [row for row in read_history(tmp_path / "resumed") if row.kind == "validation"]
    assert [row.epoch for row in rows] == [1, 2]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("pooling", ["gem", "average"])
def test_weight_decay_leaves_the_exponent_of_gem_as_it_is(recipe: Recipe, name: str, pooling: str) -> None:
    changes = {"network.pooling": pooling, "optimiser.name": name, "optimiser.weight_decay": 0.1}
    plan = override(recipe, changes)
    network = ReidNetwork(plan.network, 4)
    optimiser = build_optimiser(network, plan.optimiser)
    before = {key: value.clone() for key, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    still = {key for key, value in network.named_parameters() if torch.equal(value, before[key])}
    assert ("pooling.exponent" in still) == (pooling == "gem")
    assert "classifier.weight" not in still


def test_run_of_before_the_exponent_had_a_group_goes_on(
    recipe: Recipe, market: Path, weights: Path, straight: Checkpoint, tmp_path: Path
) -> None:
    backbone, exponent, others = straight.optimiser["param_groups"]
    head = {**others, "params": exponent["params"] + others["params"]}
    state = straight.optimiser["state"]
    older = {"state": state, "param_groups": [backbone, head]}
    save_checkpoint(replace(straight, optimiser=older), tmp_path)
    network = ReidNetwork(recipe.network, straight.identities)
    optimiser = build_optimiser(network, recipe.optimiser)
    data = read_data(recipe, read_dataset(market))
    begun = resume(Averaged(network, recipe.averaging), optimiser, recipe, data, None, tmp_path)
    assert begun is not None
    assert begun.step == straight.step
    found = optimiser.state_dict()
    decay = recipe.optimiser.weight_decay
    assert [group["weight_decay"] for group in found["param_groups"]] == [decay, 0.0, decay]
    assert found["state"].keys() == state.keys()
    assert all(torch.equal(found["state"][key]["exp_avg"], value["exp_avg"]) for key, value in state.items())


def test_run_stopped_while_it_validates_validates_again(
    recipe: Recipe, market: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)

    def stop(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module, "validate", stop)
        with pytest.raises(Stopped):
            run(recipe, market, tmp_path, weights)
    run(recipe, market, tmp_path, weights)
    assert [row.epoch for row in read_history(tmp_path) if row.kind == "validation"] == [1, 2]


def test_checkpoints_are_saved_by_time_and_the_data_hashed_once(
    recipe: Recipe, market: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[LabelledImages] = []
    saved: list[int] = []
    clock = [0.0]
    sha256, set_rate = LabelledImages.sha256, module.set_rate

    def hash_and_note(images: LabelledImages) -> str:
        hashed.append(images)
        return sha256(images)

    def step_for_25_seconds(optimiser: torch.optim.Optimizer, recipe: Recipe, epoch: float) -> None:
        clock[0] += 25
        set_rate(optimiser, recipe, epoch)

    monkeypatch.setattr(LabelledImages, "sha256", hash_and_note)
    monkeypatch.setattr(module, "save_checkpoint", lambda checkpoint, _: saved.append(checkpoint.step))
    monkeypatch.setattr(module, "set_rate", step_for_25_seconds)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    train(recipe, read_dataset(market), tmp_path, weights=weights, device="cpu")
    assert saved == [3, 4, 7, 8]
    assert len(hashed) == 2  # what is trained on, and what is held out


def test_another_recipe_is_not_mixed_into_a_run(recipe: Recipe, market: Path, weights: Path, tmp_path: Path) -> None:
    short = recipe.model_copy(update={"stages": recipe.stages[:1]})
    run(short, market, tmp_path, weights)
    with pytest.raises(RecipeError, match=r"another recipe: .*stages\.1\.epochs – → \d+; .*give its settings"):
        run(recipe, market, tmp_path, weights)


def test_held_out_people_of_whom_nothing_can_be_measured_are_told_before_the_first_epoch(
    recipe: Recipe, market: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = read_dataset(market)
    _, held_out = hold_out(dataset.train, recipe.held_out_identities, recipe.seed)
    alone = np.isin(dataset.train.identities, held_out.identities)
    one_camera_each = replace(dataset.train, cameras=np.where(alone, 1, dataset.train.cameras))
    with pytest.raises(DatasetError, match=r"none of the 6 held-out .* --set held_out_identities=N, or others"):
        read_data(recipe, replace(dataset, train=one_camera_each))
    read_data(recipe, dataset)
    assert "too few for a threshold" not in caplog.text
    read_data(recipe.model_copy(update={"held_out_identities": 2}), dataset)
    assert "pairs of two held-out people are too few for a threshold" in caplog.text


def test_wrong_labels_are_trained_on_and_the_data_stay_the_same(
    recipe: Recipe, market: Path, weights: Path, tmp_path: Path
) -> None:
    short = recipe.model_copy(update={"stages": recipe.stages[:1]})
    clean = run(short, market, tmp_path / "clean", weights)
    noisy = run(short.model_copy(update={"noise": NoiseRecipe(share=0.5)}), market, tmp_path / "noisy", weights)
    assert noisy.data_sha256 == clean.data_sha256
    assert not torch.equal(noisy.network["classifier.weight"], clean.network["classifier.weight"])


def test_damaged_checkpoint_is_refused(recipe: Recipe, market: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(RecipeError, match="not a checkpoint"):
        run(recipe, market, tmp_path, weights)


def test_run_starts_from_another(recipe: Recipe, market: Path, weights: Path, tmp_path: Path) -> None:
    first = run(recipe, market, tmp_path / "first", weights)
    still = recipe.optimiser.model_copy(update={"rate": 1e-30, "weight_decay": 0.0})
    second = run(recipe.model_copy(update={"optimiser": still}), market, tmp_path / "second", tmp_path / "first")
    assert torch.allclose(second.network["classifier.weight"], first.network["classifier.weight"])
    other = recipe.network.model_copy(update={"pooling": "average"})
    with pytest.raises(RecipeError, match="another network"):
        run(recipe.model_copy(update={"network": other}), market, tmp_path / "third", tmp_path / "first")


def test_start_on_other_people_makes_a_new_classifier_and_says_so(
    recipe: Recipe, market: Path, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(recipe, market, tmp_path / "first", weights)
    still = recipe.optimiser.model_copy(update={"rate": 1e-30, "weight_decay": 0.0})
    others = recipe.model_copy(update={"seed": recipe.seed + 1, "optimiser": still})  # as many, but not the same
    second = run(others, market, tmp_path / "second", tmp_path / "first")
    assert second.identities == first.identities
    layer = "reduction.weight"
    assert torch.allclose(second.network[layer], first.network[layer])
    assert not torch.allclose(second.network[CLASSIFIER], first.network[CLASSIFIER], atol=1e-4)
    assert "held-out figures" in caplog.text
    more = others.model_copy(update={"held_out_identities": recipe.held_out_identities + 1})
    assert run(more, market, tmp_path / "third", tmp_path / "first").identities == first.identities - 1


def test_rate_warms_up_and_falls(recipe: Recipe) -> None:
    optimiser = recipe.optimiser
    assert rate_factor(optimiser, 0, 10) == pytest.approx(optimiser.warmup_start)
    assert rate_factor(optimiser, 0.5, 10) == pytest.approx(1)
    assert rate_factor(optimiser, 10, 10) == pytest.approx(0)
    steps = optimiser.model_copy(update={"schedule": "steps", "steps": (4.0, 7.0), "warmup_epochs": 0})
    assert [rate_factor(steps, epoch, 10) for epoch in (0, 4, 7)] == pytest.approx([1, 0.1, 0.01])


def test_fit_resizes_to_the_stage() -> None:
    images = torch.full((2, 3, 64, 32), 200, dtype=torch.uint8)
    assert fit(images, 64, 32) is images
    assert torch.equal(fit(images, 48, 24), images[:, :, :48, :24])


def test_pictures_from_the_cache_train_the_same(recipe: Recipe, market: Path, weights: Path, tmp_path: Path) -> None:
    short = recipe.model_copy(update={"stages": recipe.stages[:1]})
    plain = run(short, market, tmp_path / "plain", weights)
    for _ in range(2):
        train(short, read_dataset(market), tmp_path / "kept", weights=weights, device="cpu", cache=tmp_path / "cache")
        kept = load_checkpoint(tmp_path / "kept")
        assert all(torch.equal(kept.network[name], value) for name, value in plain.network.items())
        (tmp_path / "kept" / "checkpoint.pt").unlink()
