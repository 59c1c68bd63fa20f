"""HAP2S as a loss of pytorch-metric-learning, for its distances, reducers, reference embeddings and memory.

Musgrave, Belongie, Lim. "PyTorch Metric Learning", 2020.
"""

from typing import Any

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from pytorch_metric_learning.reducers import BaseReducer, MeanReducer
from pytorch_metric_learning.utils import common_functions, loss_and_miner_utils
from torch import Tensor

from model.errors import RecipeError
from model.training.hap2s import HAP2SLoss, PointToSet


class HAP2SMetricLoss(losses.BaseMetricLossFunction):  # type: ignore[misc]
    """Call it as any loss of the library: `loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)`.

    The sets are the pairs of `indices_tuple`, or all that the labels give. A miner that leaves only the hardest pairs
    turns it into batch-hard: HAP2S does its own weighing over the whole set. One loss an anchor reaches the reducer.
    By default distances are Euclidean between embeddings as they are; on unit embeddings choose a smaller `sigma`.
    """

    def __init__(
        self,
        form: PointToSet = PointToSet.EXPONENTIAL,
        *,
        sigma: float = 0.5,
        alpha: float = 10.0,
        margin: float = 0.3,
        softplus: bool = False,
        detach_weights: bool = True,
        **options: Any,  # noqa: ANN401  # distance, reducer and embedding_regularizer, which the library checks
    ) -> None:
        """Raise `RecipeError` for a distance that grows with likeness."""
        super().__init__(**options)
        if self.distance.is_inverted:
            raise RecipeError(
                f"expected a distance that is small for what is alike, such as LpDistance, "
                f"found {type(self.distance).__name__}"
            )
        self.point_to_set = HAP2SLoss(
            form, sigma=sigma, alpha=alpha, margin=margin, softplus=softplus, detach_weights=detach_weights
        )

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: tuple[Tensor, ...] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, object]]:
        """Return each usable anchor's loss for the reducer."""
        common_functions.labels_or_indices_tuple_required(labels, indices_tuple)
        pairs = loss_and_miner_utils.convert_to_pairs(indices_tuple, labels, ref_labels)
        distances = self.distance(embeddings, ref_emb)  # (N, M)
        distances = distances.to(torch.promote_types(distances.dtype, torch.float32))
        positive, negative = (_mask(distances, *pairs[part]) for part in (slice(0, 2), slice(2, 4)))
        losses, usable = self.point_to_set.anchor_losses(distances, positive, negative)
        anchors = usable.nonzero().flatten()
        if not len(anchors):
            nothing: dict[str, dict[str, object]] = self.zero_losses()
            return nothing
        return {"loss": {"losses": losses[anchors], "indices": anchors, "reduction_type": "element"}}

    def get_default_distance(self) -> BaseDistance:
        """Return the Euclidean distance between embeddings as they are."""
        return LpDistance(normalize_embeddings=False)

    def get_default_reducer(self) -> BaseReducer:
        """Return the mean over the anchors that have both sets."""
        return MeanReducer()


class CrossBatchMemory(losses.CrossBatchMemory):  # type: ignore[misc]
    """The library's memory of past batches; its own list of losses that it works with does not know HAP2S.

    Wang, Zhang, Huang, Scott. "Cross-Batch Memory for Embedding Learning", CVPR 2020.
    """

    @staticmethod
    def supported_losses() -> list[str]:
        """Return the names of the losses that can be wrapped."""
        return [*losses.CrossBatchMemory.supported_losses(), HAP2SMetricLoss.__name__]


def _mask(distances: Tensor, anchors: Tensor, others: Tensor) -> Tensor:
    """Return the pairs as a mask `(N, M)`."""
    mask = torch.zeros_like(distances, dtype=torch.bool)
    mask[anchors, others] = True
    return mask
