import pytest
import torch

from model.errors import RecipeError
from model.training.divergence import check_finite, check_spread


def test_a_loss_that_is_not_a_number_stops_with_advice() -> None:
    check_finite(torch.tensor(1.0), 7)
    for value in (float("nan"), float("inf")):
        with pytest.raises(RecipeError, match=r"after step 7: lower optimiser\.rate"):
            check_finite(torch.tensor(value), 7)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_embeddings_in_one_point_are_a_collapse(noise: float) -> None:
    x = torch.randn(16, generator=torch.Generator().manual_seed(0)).expand(8, 16)
    near = x + noise * torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    with pytest.raises(RecipeError, match=r"collapsed after step 9.*loss\.softplus"):
        check_spread(near, 9)


def test_all_zeros_are_a_collapse() -> None:
    with pytest.raises(RecipeError, match="collapsed"):
        check_spread(torch.zeros(8, 16), 1)


def test_embeddings_that_spread_are_none() -> None:
    check_spread(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)) + 1, 1)
