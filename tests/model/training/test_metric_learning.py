import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor

from model.errors import RecipeError
from model.training.hap2s import HAP2SLoss, PointToSet
from model.training.metric_learning import CrossBatchMemory, HAP2SMetricLoss

IDENTITIES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
FORMS = list(PointToSet)


def embeddings(seed: int = 0, count: int = len(IDENTITIES), dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_equals_the_loss_that_trains(form: PointToSet, softplus: bool, normalised: bool) -> None:
    distance = distances.LpDistance(normalize_embeddings=normalised)
    loss = HAP2SMetricLoss(form, margin=0.7, softplus=softplus, distance=distance)
    expected = HAP2SLoss(form, margin=0.7, softplus=softplus, normalised=normalised)
    x, y = embeddings().requires_grad_(), embeddings().requires_grad_()
    ours, theirs = expected(x, IDENTITIES), loss(y, IDENTITIES)
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-5)
    ours.backward()
    theirs.backward()
    assert x.grad is not None
    assert y.grad is not None
    assert torch.allclose(x.grad, y.grad, atol=1e-5)


def test_reducers_get_one_loss_an_anchor() -> None:
    identities = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])  # the last is alone
    x = embeddings()
    kept: Tensor = HAP2SMetricLoss(reducer=reducers.DoNothingReducer())(x, identities)["loss"]["losses"]
    assert kept.shape == (7,)
    for reducer, expected in (
        (reducers.MeanReducer(), kept.mean()),
        (reducers.SumReducer(), kept.sum()),
        (reducers.AvgNonZeroReducer(), kept[kept > 0].mean()),
        (reducers.ThresholdReducer(low=float(kept.median())), kept[kept > kept.median()].mean()),
    ):
        assert HAP2SMetricLoss(reducer=reducer)(x, identities).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("distance", [distances.CosineSimilarity(), distances.DotProductSimilarity()])
def test_inverted_distances_are_refused(distance: distances.BaseDistance) -> None:
    with pytest.raises(RecipeError, match=f"LpDistance, found {type(distance).__name__}"):
        HAP2SMetricLoss(distance=distance)


@pytest.mark.parametrize("form", FORMS)
def test_reference_embeddings_are_the_sets(form: PointToSet) -> None:
    anchors, others = embeddings(1, 3), embeddings(2)
    names = torch.tensor([0, 1, 7])  # nobody is like the last
    loss = HAP2SMetricLoss(form, margin=0.7)
    found = loss(anchors, names, ref_emb=others, ref_labels=IDENTITIES)
    expected = []
    for anchor, name in zip(anchors[:2], names.tolist()[:2], strict=True):
        row = (anchor - others).norm(dim=1)[None]
        same = (name == IDENTITIES)[None]
        expected.append(HAP2SLoss(form, margin=0.7).anchor_losses(row, same, ~same)[0].item())
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_a_hardest_pairs_miner_makes_it_batch_hard() -> None:
    x = embeddings()
    mined = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))(x, IDENTITIES)
    assert HAP2SMetricLoss()(x, IDENTITIES, mined).item() == pytest.approx(
        HAP2SLoss(PointToSet.EXTREME)(x, IDENTITIES).item(), rel=1e-5
    )


def test_memory_of_past_batches_widens_the_sets() -> None:
    memory = CrossBatchMemory(HAP2SMetricLoss(margin=2.0), embedding_size=5, memory_size=2 * len(IDENTITIES))
    first, second = embeddings(1), embeddings(2).requires_grad_()
    alone = HAP2SMetricLoss(margin=2.0)(first, IDENTITIES)
    assert memory(first, IDENTITIES).item() == pytest.approx(alone.item(), rel=1e-5)
    both = memory(second, IDENTITIES)
    everything, names = torch.cat([first, second.detach()]), torch.cat([IDENTITIES, IDENTITIES])
    row = torch.cdist(second.detach(), everything)
    same = IDENTITIES[:, None] == names[None, :]
    itself = torch.arange(len(IDENTITIES))
    positive = same.clone()
    positive[itself, itself + len(IDENTITIES)] = False
    expected = HAP2SLoss(margin=2.0).anchor_losses(row, positive, ~same)[0].mean()
    assert both.item() == pytest.approx(expected.item(), rel=1e-4)
    both.backward()
    assert second.grad is not None
    assert second.grad.abs().sum() > 0


def test_the_librarys_own_memory_refuses_and_ours_keeps_its_list() -> None:
    with pytest.raises(Exception, match="not supported for HAP2SMetricLoss"):
        losses.CrossBatchMemory(HAP2SMetricLoss(), embedding_size=5)
    CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=5)
    with pytest.raises(Exception, match="not supported for ArcFaceLoss"):
        CrossBatchMemory(losses.ArcFaceLoss(3, 5), embedding_size=5)


@pytest.mark.parametrize("identities", [[0, 0, 0], [0, 1, 2]])
def test_no_usable_anchor_gives_zero_with_a_gradient(identities: list[int]) -> None:
    x = embeddings(count=3).requires_grad_()
    value = HAP2SMetricLoss()(x, torch.tensor(identities))
    value.backward()
    assert value.item() == 0
    assert x.grad is not None


def test_a_memory_of_four_thousand_stays_finite() -> None:
    identities = torch.arange(4096) // 4
    x = (20 * embeddings(count=4096)).requires_grad_()
    for form in (PointToSet.EXPONENTIAL, PointToSet.POLYNOMIAL):
        value = HAP2SLoss(form)(x, identities)
        value.backward()
        assert torch.isfinite(value)
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
