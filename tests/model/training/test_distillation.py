from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.cli import main
from model.card import read_card, write_card
from model.errors import RecipeError
from model.registry import Registry
from model.training.averaging import Averaged
from model.training.checkpoint import load_checkpoint, save_checkpoint
from model.training.datasets.images import no_images
from model.training.datasets.reading import read_dataset
from model.training.distillation import answer_loss, distance_loss, load_teacher
from model.training.network import ReidNetwork
from model.training.recipe import DistillationRecipe, NoiseRecipe, Recipe, read_recipe
from model.training.train import Begun, Data, build_optimiser, resume, snapshot, train

GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def test_distances_are_compared_in_units_of_their_mean() -> None:
    student, teacher = drawn(5, 3).double(), drawn(5, 7).double()
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    ours, theirs = ([float(np.linalg.norm(e[i] - e[j])) for i, j in pairs] for e in (student, teacher))
    gaps = [abs(a / np.mean(ours) - b / np.mean(theirs)) for a, b in zip(ours, theirs, strict=True)]
    expected = np.mean([0.5 * gap**2 if gap < 1 else gap - 0.5 for gap in gaps])
    assert distance_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5)
    assert distance_loss(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-7)


def test_answers_are_compared_by_their_softened_divergence() -> None:
    student, teacher, temperature = drawn(4, 6), drawn(4, 6), 2.0
    expected = 0.0
    for ours, theirs in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (theirs, ours))
        expected += float((p * np.log(p / q)).sum()) / len(student)
    assert answer_loss(student, teacher, temperature).item() == pytest.approx(4 * expected, rel=1e-5)
    assert answer_loss(student, student, temperature).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    plain = read_recipe(str(recipe_file))
    return plain.model_copy(update={"distillation": DistillationRecipe(), "averaging": 0.5})


def test_student_learns_from_a_teacher(recipe: Recipe, run: Path, market: Path, weights: Path, tmp_path: Path) -> None:
    data = read_dataset(market)
    train(recipe, data, tmp_path / "taught", weights=weights, device="cpu", teacher=run)
    taught = load_checkpoint(tmp_path / "taught")
    assert taught.averaged is not None
    assert taught.teacher == load_teacher(run, DistillationRecipe(), taught.data_sha256, "cpu").sha256
    assert not torch.equal(taught.served["classifier.weight"], taught.network["classifier.weight"])
    alone = recipe.model_copy(update={"distillation": None})
    train(alone, data, tmp_path / "alone", weights=weights, device="cpu")
    untaught = load_checkpoint(tmp_path / "alone")
    assert not torch.allclose(taught.network["classifier.weight"], untaught.network["classifier.weight"])


def test_student_goes_on_with_the_teacher_that_it_began_with(recipe: Recipe, tmp_path: Path) -> None:
    nobody = no_images("drawn")
    data = Data(nobody, nobody, torch.empty(0), torch.empty(0))
    averaged = Averaged(ReidNetwork(recipe.network, 4), recipe.averaging)
    optimiser = build_optimiser(averaged.network, recipe.optimiser)

    def teacher() -> str:
        return load_teacher(tmp_path, DistillationRecipe(), data.sha256, "cpu").sha256

    def save(learnt_from: str | None) -> None:
        save_checkpoint(snapshot(averaged, optimiser, recipe, data, Begun(3, None, learnt_from)), tmp_path)

    save(None)
    first = teacher()
    averaged.update()  # the weights that a teacher answers by
    averaged.network.classifier.weight.data += 1e-3
    averaged.update()
    save(first)
    assert teacher() != first

    assert resume(averaged, optimiser, recipe, data, first, tmp_path) == Begun(3, None, first)
    with pytest.raises(RecipeError, match="another teacher: give the run that it began with"):
        resume(averaged, optimiser, recipe, data, teacher(), tmp_path)
    save(None)  # as runs were saved before
    assert resume(averaged, optimiser, recipe, data, first, tmp_path) == Begun(3, None, first)


def test_recipe_and_call_agree_on_a_teacher(
    recipe: Recipe, recipe_file: Path, run: Path, market: Path, weights: Path, tmp_path: Path
) -> None:
    data = read_dataset(market)
    with pytest.raises(RecipeError, match="--teacher"):
        train(recipe, data, tmp_path, weights=weights, device="cpu")
    with pytest.raises(RecipeError, match=r"no \[distillation\]"):
        train(read_recipe(str(recipe_file)), data, tmp_path, weights=weights, device="cpu", teacher=run)


def test_teacher_of_other_images_is_refused(run: Path) -> None:
    with pytest.raises(RecipeError, match="trained on other images"):
        load_teacher(run, DistillationRecipe(), "0" * 64, "cpu")


def test_version_teaches_what_its_run_does(run: Path, folder: Path, tmp_path: Path) -> None:
    data_sha256 = load_checkpoint(run).data_sha256
    teachers = [load_teacher(each, DistillationRecipe(), data_sha256, "cpu") for each in (run, folder)]
    images, feature, logits = drawn(8, 3, 64, 32), drawn(8, 16), drawn(8, load_checkpoint(run).identities)
    losses = [teacher(images, feature, logits).item() for teacher in teachers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)  # its weights are in half precision
    assert {each.size for each in teachers} == {(64, 32)}
    with pytest.raises(RecipeError, match="tiny@1 was trained on other images"):
        load_teacher(folder, DistillationRecipe(), "0" * 64, "cpu")
    write_card(read_card(folder / "card.json"), tmp_path / "card.json")
    with pytest.raises(RecipeError, match="--with-weights"):
        load_teacher(tmp_path, DistillationRecipe(), data_sha256, "cpu")


@pytest.mark.parametrize(
    ("teacher", "told"), [("tiny@1", "tiny@1 was trained on other images"), ("tiny@7", "expected a version out of")]
)
def test_teacher_may_be_a_registered_version(
    teacher: str, told: str, folder: Path, market: Path, recipe_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    Registry(tmp_path / "models").import_version(folder)
    given = {"--data": market, "--registry": tmp_path / "models", "--recipe": recipe_file, "--out": tmp_path / "run"}
    known = [str(each) for pair in given.items() for each in pair]
    changes = ["--set", "held_out_identities=5", "--set", "distillation.logits=0"]
    with pytest.raises(SystemExit):
        main(["train", *known, *changes, "--teacher", teacher, "--device", "cpu"])
    assert f"\nreid: {told}" in f"\n{capsys.readouterr().err}"


def test_teacher_of_other_people_by_noise_is_refused(run: Path) -> None:
    data = load_checkpoint(run).data_sha256
    for harmless in (NoiseRecipe(share=0.2), NoiseRecipe(kind="stranger")):
        assert load_teacher(run, DistillationRecipe(), data, "cpu", noise=harmless)
    with pytest.raises(RecipeError, match="stranger takes other people out of"):
        load_teacher(run, DistillationRecipe(), data, "cpu", noise=NoiseRecipe(kind="stranger", share=0.2))


def test_teacher_is_asked_at_its_own_size_and_never_trained(run: Path) -> None:
    checkpoint = load_checkpoint(run)
    teacher = load_teacher(run, DistillationRecipe(), checkpoint.data_sha256, "cpu")
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    feature = drawn(4, 16).requires_grad_()
    loss = teacher(drawn(4, 3, 48, 24), feature, drawn(4, checkpoint.identities))
    (gradient,) = torch.autograd.grad(loss, feature)
    assert gradient.abs().sum() > 0
    assert all(torch.equal(before[name], value) for name, value in teacher.network.state_dict().items())
