"""The hard-aware point-to-set loss (HAP2S).

Yu, Dou, Bai, Zhang, Xu, Bai. "Hard-Aware Point-to-Set Deep Metric for Person Re-identification", ECCV 2018.
"""

from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_SQUARED_DISTANCE = 1e-12  # below it sqrt's gradient would be infinite


class PointToSet(StrEnum):
    """How the members of a set are weighed in the distance from a point to the set."""

    EXPONENTIAL = "exponential"  # HAP2S_E
    POLYNOMIAL = "polynomial"  # HAP2S_P
    UNIFORM = "uniform"  # sigma -> inf, alpha -> 0
    EXTREME = "extreme"  # sigma -> 0, alpha -> inf: batch-hard


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """Return the Euclidean distances `(N, N)` between embeddings `(N, D)`, in float32 or better."""
    with torch.autocast(embeddings.device.type, enabled=False):
        x = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        x = x - x.detach().mean(dim=0)  # distances stay; |x|² + |y|² - 2xy cancels less near the origin
        squares = x.square().sum(dim=1)
        squared = squares[:, None] + squares[None, :] - 2 * x @ x.T
        return squared.clamp_min(LEAST_SQUARED_DISTANCE).sqrt()


def set_masks(identities: Tensor) -> tuple[Tensor, Tensor]:
    """Return S+ and S- of every anchor as boolean `(N, N)`; the anchor itself is in neither."""
    same = identities[:, None] == identities[None, :]
    itself = torch.eye(len(identities), dtype=torch.bool, device=identities.device)
    return same & ~itself, ~same


class HAP2SLoss(nn.Module):
    """Weigh the whole set, hard members more, in a triplet of an anchor and its two sets.

    `L(a) = [m + D(a, S+) - D(a, S-)]+` with `D(a, S) = Σ w_i d_i / Σ w_i`. The weights are softmaxes of
    `±d / sigma` (exponential) or of `alpha·log1p(d)` and `-2·alpha·log1p(d)` (polynomial), so nothing overflows.
    `sigma` and `margin` are in units of the embeddings' distance. An anchor with an empty set is left out of the mean.

    With a gradient through the weights, positives that are nearer than `D+ - sigma` are pushed away, and easy negatives
    drawn near; the paper leaves it open. Without it the loss was ahead wherever both were tried, see docs/RESULTS.md.
    """

    def __init__(
        self,
        form: PointToSet = PointToSet.EXPONENTIAL,
        *,
        sigma: float = 0.5,
        alpha: float = 10.0,
        margin: float = 0.3,
        softplus: bool = False,
        normalised: bool = False,
        detach_weights: bool = True,
    ) -> None:
        super().__init__()
        self.form = PointToSet(form)
        self.sigma = sigma
        self.alpha = alpha
        self.margin = margin
        self.softplus = softplus
        self.normalised = normalised
        self.detach_weights = detach_weights

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Return the mean loss, a scalar, over embeddings `(N, D)` with identities `(N,)`.

        With no anchor that has both sets the loss is 0 and still carries a (zero) gradient.
        """
        if self.normalised:
            embeddings = functional.normalize(embeddings.float(), dim=1)
        losses, usable = self.anchor_losses(pairwise_distances(embeddings), *set_masks(identities))
        return losses.sum() / usable.sum().clamp_min(1)

    def anchor_losses(self, distances: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """Return L(a) `(N,)` and which anchors have both sets `(N,)`; the others' loss is 0.

        `distances` and the masks of S+ and S- are `(N, M)`: anchors against what they are compared with.
        """
        usable = positive.any(dim=1) & negative.any(dim=1)
        gap = self.distance_to_set(distances, positive, 1) - self.distance_to_set(distances, negative, -1)
        loss = functional.softplus(self.margin + gap) if self.softplus else (self.margin + gap).relu()
        return torch.where(usable, loss, 0), usable

    def distance_to_set(self, distances: Tensor, members: Tensor, sign: int) -> Tensor:
        """Return D(a, S) `(N,)`; `sign` is 1 where far members are hard (S+) and -1 where near ones are (S-).

        The value for an empty set means nothing.
        """
        if self.form is PointToSet.EXTREME:
            return sign * (sign * distances).masked_fill(~members, -torch.inf).amax(dim=1).clamp_min(-1e30)
        # the least number, not -inf: its weight is 0 just the same, and an empty set's row does not turn to NaN
        logits = self._log_weights(distances, sign)
        weights = logits.masked_fill(~members, torch.finfo(logits.dtype).min).softmax(dim=1)  # (N, M)
        return ((weights.detach() if self.detach_weights else weights) * distances).sum(dim=1)

    def _log_weights(self, distances: Tensor, sign: int) -> Tensor:
        match self.form:
            case PointToSet.EXPONENTIAL:
                return distances * (sign / self.sigma)
            case PointToSet.POLYNOMIAL:
                return (self.alpha if sign > 0 else -2 * self.alpha) * distances.log1p()
            case _:
                return torch.zeros_like(distances)
