import itertools
import math

import pytest
import torch

from model.errors import RecipeError
from model.training.hap2s import HAP2SLoss, PointToSet
from model.training.losses import build_loss
from model.training.recipe import LossRecipe

IDENTITIES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def embeddings(seed: int = 0) -> torch.Tensor:
    return torch.randn(len(IDENTITIES), 5, generator=torch.Generator().manual_seed(seed))


def value(**section: object) -> float:
    loss: torch.Tensor = build_loss(LossRecipe.model_validate(section))(embeddings(), IDENTITIES)
    return loss.item()


def pairs(same: bool) -> list[tuple[int, int]]:
    names = IDENTITIES.tolist()
    return [(a, b) for a, b in itertools.permutations(range(len(names)), 2) if (names[a] == names[b]) is same]


@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_the_librarys_batch_hard_is_the_extreme_set(softplus: bool, normalised: bool) -> None:
    section = {"softplus": softplus, "normalised": normalised, "margin": 0.7}
    triplet = value(kind="triplet", **section)
    assert triplet == pytest.approx(value(form=PointToSet.EXTREME, **section), rel=1e-5)
    assert triplet > 0


def test_agw_weighs_as_hap2s_of_sigma_one() -> None:
    x = embeddings()
    losses = []
    for anchor in range(len(x)):  # Ye et al., TPAMI 2021, equation 4
        d = (x[anchor] - x).norm(dim=1)
        positive = [d[b] for a, b in pairs(same=True) if a == anchor]
        negative = [d[b] for a, b in pairs(same=False) if a == anchor]
        far = sum(v.exp() * v for v in positive) / sum(v.exp() for v in positive)
        near = sum((-v).exp() * v for v in negative) / sum((-v).exp() for v in negative)
        losses.append(math.log1p(math.exp(far - near)))
    assert value(kind="agw") == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_contrastive_by_plain_loops() -> None:
    x = embeddings()
    pull = [(x[a] - x[b]).norm().item() for a, b in pairs(same=True)]
    push = [max(0.0, 3 - (x[a] - x[b]).norm().item()) for a, b in pairs(same=False)]
    expected = sum(pull) / len(pull) + sum(push) / len(push)
    assert value(kind="contrastive", parameters={"neg_margin": 3.0}) == pytest.approx(expected, rel=1e-5)


def test_circle_by_plain_loops() -> None:
    x = torch.nn.functional.normalize(embeddings(), dim=1).double()
    losses = []
    for anchor in range(len(x)):  # Sun et al., CVPR 2020, equation 6, m 0.25 and gamma 128
        similar = [float(x[a] @ x[b]) for a, b in pairs(same=True) if a == anchor]
        different = [float(x[a] @ x[b]) for a, b in pairs(same=False) if a == anchor]
        p = torch.tensor([-128 * max(0, 1.25 - s) * (s - 0.75) for s in similar]).logsumexp(0)
        n = torch.tensor([128 * max(0, s + 0.25) * (s - 0.25) for s in different]).logsumexp(0)
        losses.append(torch.nn.functional.softplus(p + n).item())
    assert value(kind="circle") == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("kind", ["hap2s", "agw", "triplet", "contrastive", "multi-similarity", "circle"])
def test_every_loss_falls_under_its_own_gradient(kind: str) -> None:
    loss = build_loss(LossRecipe.model_validate({"kind": kind, "softplus": True}))
    x = embeddings().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=0.02)
    values = []
    for _ in range(40):
        optimiser.zero_grad()
        current = loss(x, IDENTITIES)
        assert current.shape == ()
        current.backward()
        optimiser.step()
        values.append(current.item())
    assert values[-1] < 0.8 * values[0]


def test_an_unknown_parameter_is_named_with_what_there_is() -> None:
    with pytest.raises(RecipeError, match=r"circle: expected m, gamma, found sigma"):
        value(kind="circle", parameters={"sigma": 1.0})


def test_hap2s_takes_every_setting_of_the_recipe() -> None:
    section = {
        "form": "polynomial", "sigma": 2.0, "alpha": 3.0, "margin": 0.1,
        "softplus": True, "normalised": True, "detach_weights": True,
    }  # fmt: skip
    built = build_loss(LossRecipe.model_validate(section))
    assert isinstance(built, HAP2SLoss)
    assert {name: getattr(built, name) for name in section} == section
