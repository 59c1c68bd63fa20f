"""Signs that a run is lost, each with what to do about it."""

import torch
from torch import Tensor

from model.errors import RecipeError

LEAST_SPREAD = 0.01  # of the embeddings' mean length


def check_finite(loss: Tensor, step: int) -> None:
    """Raise `RecipeError` when the loss is not a finite number."""
    if not torch.isfinite(loss):
        raise RecipeError(
            f"the loss is {loss.item()} after step {step}: lower optimiser.rate, lengthen optimiser.warmup_epochs, "
            "or set precision to float32"
        )


def check_spread(embeddings: Tensor, step: int) -> None:
    """Raise `RecipeError` when a batch's embeddings `(N, D)` lie in one point: the network has collapsed."""
    x = embeddings.detach().float()
    length = x.norm(dim=1).mean()
    spread = (x - x.mean(dim=0)).norm(dim=1).mean()
    if spread <= LEAST_SPREAD * length:
        raise RecipeError(
            f"the embeddings have collapsed after step {step}: expected a batch to spread over more than "
            f"{LEAST_SPREAD} of its mean length {length:.3g}, found {spread:.3g}; set loss.softplus to true, "
            "lower optimiser.rate, or begin with loss.form uniform"
        )
