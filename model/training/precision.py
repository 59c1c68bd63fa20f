"""What training computes in."""

import torch

from model.training.recipe import Recipe


def use_bfloat16(recipe: Recipe, device: str) -> bool:
    """Return whether to compute in bfloat16: as the recipe says, or where the hardware is fast at it."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    if device == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))  # GPUs before Ampere are slower with it
