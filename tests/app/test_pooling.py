import numpy as np
import pytest
from numpy.typing import NDArray

from app.pooling import inliers, pool


def cluster(count: int, spread: float, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=64)
    rows = centre / np.linalg.norm(centre) + spread * rng.normal(size=(count, 64))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def stranger(like: NDArray[np.float32]) -> NDArray[np.float32]:
    other = np.random.default_rng(99).normal(size=like.shape[1])
    return np.asarray(other / np.linalg.norm(other), dtype=np.float32)


def test_pooled_query_is_the_unit_mean() -> None:
    rows = cluster(4, 0.05)
    mean = rows.astype(np.float64).mean(axis=0)
    assert pool(rows) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_one_picture_stays_as_it_is() -> None:
    [row] = cluster(1, 0.05)
    assert pool(row[None]) == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("count", [5, 8, 31])
def test_stranger_among_five_or_more_is_left_out(count: int) -> None:
    rows = cluster(count - 1, 0.05)
    with_stranger = np.concatenate([rows[:2], stranger(rows)[None], rows[2:]])
    assert list(np.flatnonzero(~inliers(with_stranger))) == [2]
    assert pool(with_stranger) == pytest.approx(pool(rows), abs=1e-6)


def test_among_four_nobody_is_left_out() -> None:
    rows = cluster(3, 0.05)
    assert inliers(np.concatenate([rows, stranger(rows)[None]])).all()


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.05, 0.2])
def test_one_persons_pictures_all_count(spread: float) -> None:
    assert inliers(cluster(12, spread)).all()


def test_never_more_than_half_are_left_out() -> None:
    for seed in range(50):
        rows = np.concatenate([cluster(4, 0.05, seed), cluster(4, 0.3, seed + 100)])
        assert inliers(rows).sum() >= 4


def test_opposite_pictures_still_give_a_direction() -> None:
    [row] = cluster(1, 0.05)
    assert np.linalg.norm(pool(np.stack([row, -row]))) == pytest.approx(1, abs=1e-6)
