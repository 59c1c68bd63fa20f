import numpy as np
import pytest

from model.errors import DatasetError
from model.training.sampler import IdentitySampler

IDENTITIES = np.repeat(np.arange(12), [3, 4, 5, 8, 9, 2, 4, 4, 4, 7, 6, 8])


def test_a_batch_has_p_identities_with_k_images_each() -> None:
    sampler = IdentitySampler(IDENTITIES, p=4, k=4, seed=1)
    for number in range(5):
        for batch in sampler.epoch(number):
            names, counts = np.unique(IDENTITIES[batch], return_counts=True)
            assert len(names) == 4
            assert counts.tolist() == [4, 4, 4, 4]


def test_an_epoch_is_its_seed_and_number() -> None:
    first, again = (IdentitySampler(IDENTITIES, p=4, k=2, seed=1) for _ in range(2))
    first.epoch(0)  # what was drawn before does not matter
    assert (first.epoch(3) == again.epoch(3)).all()
    assert not np.array_equal(first.epoch(3), first.epoch(4))


def test_all_images_come_before_any_comes_again() -> None:
    identities = np.repeat(np.arange(4), 8)
    batches = IdentitySampler(identities, p=4, k=4, seed=0).epoch(0)
    assert sorted(batches.ravel().tolist()) == list(range(32))


def test_too_few_identities_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"at least 13 identities .* found 12 .*--set batch\.identities=N"):
        IdentitySampler(IDENTITIES, p=13, k=4, seed=1)
