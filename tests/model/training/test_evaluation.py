import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DatasetError
from model.training.evaluation import Embedded, evaluate_retrieval, ranks_of


def at_angles(degrees: list[float], identities: list[int], cameras: list[int]) -> Embedded:
    """Unit vectors in the plane: the nearer the angle, the higher the cosine."""
    angle = np.radians(np.array(degrees, dtype=np.float64))
    embeddings = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Embedded(embeddings, np.array(identities, dtype=np.int64), np.array(cameras, dtype=np.int64))


def slow_evaluate(query: Embedded, gallery: Embedded, ranks: int) -> tuple[list[float], float, float, int]:
    """The protocol by plain loops."""
    cmc, precisions, penalties, skipped = np.zeros(ranks), [], [], 0
    for q in range(len(query)):
        scores = gallery.embeddings @ query.embeddings[q]
        ranked = sorted(range(len(gallery)), key=lambda g: (-scores[g], g))
        hits = []
        for g in ranked:
            same = gallery.identities[g] == query.identities[q]
            if same and gallery.cameras[g] == query.cameras[q]:
                continue
            hits.append(bool(same))
        if not any(hits):
            skipped += 1
            continue
        places = [place for place, hit in enumerate(hits, start=1) if hit]
        cmc[places[0] - 1 :] += 1
        precisions.append(sum(found / place for found, place in enumerate(places, start=1)) / len(places))
        penalties.append(len(places) / places[-1])
    asked = len(precisions)
    return list(cmc / asked), sum(precisions) / asked, sum(penalties) / asked, skipped


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cells", [1, 7 * 60, 2**24])
def test_equals_plain_loop(seed: int, cells: int) -> None:
    rng = np.random.default_rng(seed)

    def sample(n: int) -> Embedded:
        x = rng.integers(-2, 3, size=(n, 3)).astype(np.float32)  # few values: many ties
        return Embedded(x, rng.integers(0, 9, size=n), rng.integers(1, 4, size=n))

    query, gallery = sample(23), sample(60)
    result = evaluate_retrieval(query, gallery, ranks=20, cells=cells)
    cmc, precision, penalty, skipped = slow_evaluate(query, gallery, 20)
    assert result.cmc == pytest.approx(cmc)
    assert (result.mAP, result.mINP) == pytest.approx((precision, penalty))
    assert np.nanmean(result.precisions) == result.mAP
    assert (result.queries, result.skipped) == (23 - skipped, skipped)


def test_two_hits_by_hand() -> None:
    query = at_angles([0], [1], [1])
    gallery = at_angles([1, 2, 3, 4], [2, 1, 3, 1], [2, 2, 2, 3])  # hits at ranks 2 and 4
    result = evaluate_retrieval(query, gallery)
    assert result.cmc.tolist() == [0, 1, 1, 1]
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.mINP == pytest.approx(2 / 4)


def test_same_camera_is_dropped() -> None:
    query = at_angles([0], [1], [1])
    gallery = at_angles([0, 1, 2], [1, 2, 1], [1, 1, 2])  # the best match is on the query's own camera
    result = evaluate_retrieval(query, gallery)
    assert result.rank(1) == 0
    assert result.mAP == pytest.approx(1 / 2)


def test_distractor_counts_as_wrong() -> None:
    query = at_angles([0], [1], [1])
    gallery = at_angles([1, 2], [0, 1], [2, 2])
    assert evaluate_retrieval(query, gallery).mAP == pytest.approx(1 / 2)


def test_tie_goes_to_the_lower_index() -> None:
    query = at_angles([0], [1], [1])
    first = evaluate_retrieval(query, at_angles([5, 5], [1, 2], [2, 2]))
    second = evaluate_retrieval(query, at_angles([5, 5], [2, 1], [2, 2]))
    assert (first.rank(1), second.rank(1)) == (1, 0)


def test_query_without_a_right_answer_is_skipped_and_counted() -> None:
    query = at_angles([0, 0], [1, 7], [1, 1])
    result = evaluate_retrieval(query, at_angles([1, 2], [1, 2], [2, 2]))
    assert (result.queries, result.skipped, result.rank(1)) == (1, 1, 1)
    assert result.precisions == pytest.approx([1, np.nan], nan_ok=True)


def test_scores_asked_for_come_in_blocks_and_replace_the_cosines() -> None:
    query = at_angles([0, 0, 0], [1, 1, 1], [1, 1, 1])
    gallery = at_angles([1, 2], [2, 1], [2, 2])
    asked = []

    def scores(part: slice) -> NDArray[np.float32]:
        asked.append((part.start, part.stop))
        return np.tile(np.array([0.1, 0.2], dtype=np.float32), (len(query.embeddings[part]), 1))

    assert evaluate_retrieval(query, gallery, scores=scores, cells=4).rank(1) == 1
    assert asked == [(0, 2), (2, 4)]
    assert evaluate_retrieval(query, gallery).rank(1) == 0


@pytest.mark.parametrize("seed", range(20))
def test_ranks_are_those_of_a_stable_sort(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(4, size=200).astype(np.float32)
    kind = rng.choice(["right", "wrong", "dropped"], size=200, p=[0.1, 0.6, 0.3])
    order = np.argsort(-scores, kind="stable")
    kept = kind[order][kind[order] != "dropped"]
    expected = np.flatnonzero(kept == "right") + 1
    assert ranks_of(scores, kind == "right", kind == "wrong").tolist() == expected.tolist()


def test_one_camera_for_everything_is_refused() -> None:
    images = at_angles([0, 1, 2, 3], [1, 1, 2, 2], [1, 1, 1, 1])
    with pytest.raises(DatasetError, match="labelled with one camera"):
        evaluate_retrieval(images, images)
