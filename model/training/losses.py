"""Every metric loss under one roof: a recipe's section in, a module `(embeddings, identities) -> scalar` out.

HAP2S is ours; its rivals are those of pytorch-metric-learning, with the mean over all anchors or pairs so that losses
differ in nothing but themselves.
"""

from collections.abc import Callable, Mapping

from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from model.errors import RecipeError
from model.training.hap2s import HAP2SLoss, PointToSet
from model.training.recipe import LossRecipe

# Their papers' values for person re-identification, where they give any.
_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "hap2s": {},
    "agw": {},
    "triplet": {},
    "contrastive": {"pos_margin": 0.0, "neg_margin": 1.0},
    "multi-similarity": {"alpha": 2.0, "beta": 50.0, "base": 0.5},
    "circle": {"m": 0.25, "gamma": 128.0},
}


class BatchHardTriplet(nn.Module):
    """Triplets of each anchor's farthest positive and nearest negative (Hermans et al., 2017)."""

    def __init__(self, *, margin: float, softplus: bool, normalised: bool) -> None:
        super().__init__()
        distance = LpDistance(normalize_embeddings=normalised)
        self.miner = BatchHardMiner(distance=distance)
        self.loss = losses.TripletMarginLoss(
            margin=margin, smooth_loss=softplus, distance=distance, reducer=MeanReducer()
        )

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """Return the mean over the anchors that have both a positive and a negative."""
        loss: Tensor = self.loss(embeddings, identities, self.miner(embeddings, identities))
        return loss


def build_loss(recipe: LossRecipe) -> nn.Module:
    """Return the recipe's metric loss; raise `RecipeError` for a parameter that it does not have."""
    known = _PARAMETERS[recipe.kind]
    if unknown := sorted(set(recipe.parameters) - set(known)):
        raise RecipeError(
            f"loss.parameters of {recipe.kind}: expected {', '.join(known) or 'none'}, found {', '.join(unknown)}"
        )
    return _BUILDERS[recipe.kind](recipe, {**known, **recipe.parameters})


def _hap2s(recipe: LossRecipe, _parameters: Mapping[str, float]) -> nn.Module:
    return HAP2SLoss(
        recipe.form,
        sigma=recipe.sigma,
        alpha=recipe.alpha,
        margin=recipe.margin,
        softplus=recipe.softplus,
        normalised=recipe.normalised,
        detach_weights=recipe.detach_weights,
    )


def _agw(recipe: LossRecipe, _parameters: Mapping[str, float]) -> nn.Module:
    """Return AGW's weighted triplet: HAP2S_E of sigma 1, a soft margin of 0, and a gradient through the weights.

    Ye et al. "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021.
    """
    return HAP2SLoss(
        PointToSet.EXPONENTIAL, sigma=1.0, margin=0.0, softplus=True, normalised=recipe.normalised, detach_weights=False
    )


def _triplet(recipe: LossRecipe, _parameters: Mapping[str, float]) -> nn.Module:
    return BatchHardTriplet(margin=recipe.margin, softplus=recipe.softplus, normalised=recipe.normalised)


def _contrastive(recipe: LossRecipe, parameters: Mapping[str, float]) -> nn.Module:
    distance = LpDistance(normalize_embeddings=recipe.normalised)
    loss: nn.Module = losses.ContrastiveLoss(distance=distance, reducer=MeanReducer(), **parameters)
    return loss


def _multi_similarity(_recipe: LossRecipe, parameters: Mapping[str, float]) -> nn.Module:
    loss: nn.Module = losses.MultiSimilarityLoss(reducer=MeanReducer(), **parameters)
    return loss


def _circle(_recipe: LossRecipe, parameters: Mapping[str, float]) -> nn.Module:
    loss: nn.Module = losses.CircleLoss(reducer=MeanReducer(), **parameters)
    return loss


_BUILDERS: Mapping[str, Callable[[LossRecipe, Mapping[str, float]], nn.Module]] = {
    "hap2s": _hap2s,
    "agw": _agw,
    "triplet": _triplet,
    "contrastive": _contrastive,
    "multi-similarity": _multi_similarity,
    "circle": _circle,
}
