from types import SimpleNamespace

import pytest
import torch

from model.training.precision import use_bfloat16
from model.training.recipe import override, read_recipe


@pytest.mark.parametrize(("major", "fast"), [(7, False), (8, True)])
def test_bfloat16_is_left_to_gpus_that_are_fast_at_it(major: int, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)  # emulated
    assert use_bfloat16(recipe, "cuda") is fast
    assert use_bfloat16(override(recipe, {"precision": "bfloat16"}), "cuda")
    assert not use_bfloat16(override(recipe, {"precision": "float32"}), "cuda")


def test_bfloat16_is_left_to_processors_that_are_fast_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        assert use_bfloat16(read_recipe("cpu"), "cpu") is fast
