import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from model.training.hap2s import HAP2SLoss, PointToSet, pairwise_distances

IDENTITIES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
Weigh = Callable[[float], float]


def embeddings(seed: int = 0, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(len(IDENTITIES), 5, generator=generator, dtype=torch.float64).to(dtype)


def weights_of(loss: HAP2SLoss) -> tuple[Weigh, Weigh]:
    """The paper's weights, as they are written there."""
    match loss.form:
        case PointToSet.EXPONENTIAL:
            return lambda d: math.exp(d / loss.sigma), lambda d: math.exp(-d / loss.sigma)
        case PointToSet.POLYNOMIAL:
            return lambda d: (d + 1) ** loss.alpha, lambda d: (d + 1) ** (-2 * loss.alpha)
        case _:
            return lambda d: d**0, lambda d: d**0


def slow_loss(loss: HAP2SLoss, x: np.ndarray, identities: list[int]) -> float:
    """HAP2S by plain loops in float64."""
    if loss.normalised:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    losses = []
    for a, name in enumerate(identities):
        d = [math.dist(x[a], other) for other in x]
        positive = [d[i] for i, other in enumerate(identities) if other == name and i != a]
        negative = [d[i] for i, other in enumerate(identities) if other != name]
        if not positive or not negative:
            continue
        if loss.form is PointToSet.EXTREME:
            gap = max(positive) - min(negative)
        else:
            near, far = (
                sum(weigh(v) * v for v in members) / sum(map(weigh, members))
                for weigh, members in zip(weights_of(loss), (positive, negative), strict=True)
            )
            gap = near - far
        value = loss.margin + gap
        losses.append(math.log1p(math.exp(value)) if loss.softplus else max(0.0, value))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("form", list(PointToSet))
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loops(form: PointToSet, softplus: bool, normalised: bool, seed: int) -> None:
    loss = HAP2SLoss(form, softplus=softplus, normalised=normalised, margin=0.7)
    x = embeddings(seed)
    expected = slow_loss(loss, x.numpy(), IDENTITIES.tolist())
    tolerance = 1e-6 if normalised else 1e-9  # embeddings are normalised in float32
    assert loss(x, IDENTITIES).item() == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    ("near_limit", "limit"),
    [
        (HAP2SLoss(PointToSet.EXPONENTIAL, sigma=1e7), HAP2SLoss(PointToSet.UNIFORM)),
        (HAP2SLoss(PointToSet.POLYNOMIAL, alpha=1e-8), HAP2SLoss(PointToSet.UNIFORM)),
        (HAP2SLoss(PointToSet.EXPONENTIAL, sigma=1e-5), HAP2SLoss(PointToSet.EXTREME)),
        (HAP2SLoss(PointToSet.POLYNOMIAL, alpha=1e6), HAP2SLoss(PointToSet.EXTREME)),
    ],
)
def test_limits(near_limit: HAP2SLoss, limit: HAP2SLoss) -> None:
    x = embeddings()
    assert near_limit(x, IDENTITIES).item() == pytest.approx(limit(x, IDENTITIES).item(), rel=1e-5)


@pytest.mark.parametrize("form", list(PointToSet))
@pytest.mark.parametrize("detach_weights", [False, True])
def test_gradient(form: PointToSet, detach_weights: bool) -> None:
    loss = HAP2SLoss(form, softplus=True, detach_weights=detach_weights)
    x = embeddings().requires_grad_()
    if not detach_weights:
        assert torch.autograd.gradcheck(lambda value: loss(value, IDENTITIES), (x,))
    loss(x, IDENTITIES).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_detached_weights_never_push_a_positive_away() -> None:
    distances = torch.tensor([[0.0, 0.1, 3.0]], dtype=torch.float64, requires_grad=True)
    members = torch.tensor([[False, True, True]])
    for loss, expected in ((HAP2SLoss(detach_weights=False), -1), (HAP2SLoss(), 1)):
        (gradient,) = torch.autograd.grad(loss.distance_to_set(distances, members, 1).sum(), distances)
        assert math.copysign(1, gradient[0, 1].item()) == expected  # the near positive


@pytest.mark.parametrize("form", list(PointToSet))
def test_order_of_the_batch_does_not_matter(form: PointToSet) -> None:
    x, order = embeddings(), torch.randperm(len(IDENTITIES), generator=torch.Generator().manual_seed(1))
    loss = HAP2SLoss(form)
    assert loss(x[order], IDENTITIES[order]).item() == pytest.approx(loss(x, IDENTITIES).item(), rel=1e-12)


@pytest.mark.parametrize("form", list(PointToSet))
@pytest.mark.parametrize("scale", [1e-9, 1e3, 1e5])
def test_tiny_and_huge_distances_stay_finite(form: PointToSet, scale: float) -> None:
    x = embeddings(scale=scale, dtype=torch.float32).requires_grad_()
    value = HAP2SLoss(form)(x, IDENTITIES)
    value.backward()
    assert x.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("form", list(PointToSet))
def test_collapsed_embeddings_cost_the_margin(form: PointToSet) -> None:
    x = torch.ones(len(IDENTITIES), 5, requires_grad=True)
    value = HAP2SLoss(form, margin=0.3)(x, IDENTITIES)
    value.backward()
    assert value.item() == pytest.approx(0.3, abs=1e-5)
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("form", list(PointToSet))
def test_anchor_with_an_empty_set_is_left_out(form: PointToSet) -> None:
    loss = HAP2SLoss(form)
    x = embeddings()[:5]
    identities = torch.tensor([0, 0, 1, 1, 2])  # the last is alone
    assert loss(x, identities).item() == pytest.approx(slow_loss(loss, x.numpy(), identities.tolist()), rel=1e-9)


@pytest.mark.parametrize("form", list(PointToSet))
@pytest.mark.parametrize("identities", [[0, 0, 0], [0, 1, 2]])
def test_no_usable_anchor_gives_zero_with_a_gradient(form: PointToSet, identities: list[int]) -> None:
    x = embeddings()[:3].requires_grad_()
    value = HAP2SLoss(form)(x, torch.tensor(identities))
    value.backward()
    assert value.item() == 0
    assert x.grad is not None
    assert (x.grad == 0).all()


@pytest.mark.parametrize("form", list(PointToSet))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(form: PointToSet, dtype: torch.dtype) -> None:
    half = embeddings(scale=4, dtype=dtype)
    loss = HAP2SLoss(form)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, IDENTITIES)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(half.double(), IDENTITIES).item(), rel=1e-4)


def test_distances_are_exact_far_from_the_origin() -> None:
    x = embeddings() + 1e3
    assert torch.allclose(pairwise_distances(x.float()).double(), torch.cdist(x, x), atol=1e-2)
