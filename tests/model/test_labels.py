import numpy as np
import pytest
from numpy.typing import NDArray

from model import labels
from model.labels import Prototypes, find_suspects

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


def clusters(identities: int = 30, each: int = 8, noise: float = 0.15) -> Labelled:
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(identities), each)
    x = rng.normal(size=(identities, 64))[names] / 8 + noise * rng.normal(size=(len(names), 64))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), names


def planted(images: Labelled, wrong: int) -> tuple[Labelled, dict[int, int]]:
    """Give some samples another identity; return those with their right one."""
    embeddings, identities = images
    chosen = np.random.default_rng(1).permutation(len(identities))[:wrong].tolist()
    given = identities.copy()
    given[chosen] = (given[chosen] + 7) % (given.max() + 1)
    return (embeddings, given), {index: int(identities[index]) for index in chosen}


def test_planted_errors_come_first_with_their_right_identity() -> None:
    noisy, right = planted(clusters(), 24)
    found = find_suspects(*noisy, limit=24)
    assert {suspect.index for suspect in found} == set(right)
    assert all(suspect.suggested == right[suspect.index] for suspect in found)
    assert [suspect.margin for suspect in found] == sorted((suspect.margin for suspect in found), reverse=True)


def test_clean_and_clear_labels_are_not_suspected() -> None:
    assert find_suspects(*clusters(noise=0.05), limit=100) == []


@pytest.mark.parametrize("cells", [2**22, 40])  # in one block, and in many
def test_scores_by_plain_loops(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_CELLS", cells)
    (embeddings, identities), _ = planted(clusters(identities=6), 5)
    x = embeddings.astype(np.float64)
    found = find_suspects(embeddings, identities, limit=100)
    assert len(found) >= 5
    for suspect in found:
        own = x[[i for i in np.flatnonzero(identities == suspect.identity) if i != suspect.index]].sum(axis=0)
        others = {
            name: float(x[suspect.index] @ (total := x[identities == name].sum(axis=0)) / np.linalg.norm(total))
            for name in set(identities.tolist()) - {suspect.identity}
        }
        best = max(others, key=lambda name: others[name])
        assert suspect.suggested == best
        assert suspect.suggested_score == pytest.approx(others[best])
        assert suspect.own_score == pytest.approx(x[suspect.index] @ own / np.linalg.norm(own))
        assert suspect.margin == pytest.approx(suspect.suggested_score - suspect.own_score)


def test_the_only_sample_of_an_identity_cannot_be_judged() -> None:
    embeddings, identities = clusters(identities=3)
    identities[0] = 99
    assert 0 not in {suspect.index for suspect in find_suspects(embeddings, identities, limit=100)}


@pytest.mark.parametrize("cells", [2**22, 40])
def test_one_person_under_two_names_by_plain_loops(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_CELLS", cells)
    embeddings, identities = clusters(identities=12)
    identities[np.flatnonzero(identities == 4)[:3]] = 12  # the fifth person has a second name
    prototypes = Prototypes(13, 64)
    prototypes.add(embeddings, identities)
    expected = {}
    for first in range(13):
        for second in range(first + 1, 13):
            pairs = embeddings[identities == first].astype(np.float64) @ embeddings[identities == second].T
            expected[first, second] = float(pairs.mean())
    found = prototypes.finish().twins(-1.0, limit=20)
    assert {(each.first, each.second) for each in found[:1]} == {(4, 12)}
    best = sorted(expected.values(), reverse=True)[:20]
    assert [each.score for each in found] == pytest.approx(best, abs=1e-6)
    assert all(each.score == pytest.approx(expected[each.first, each.second], abs=1e-6) for each in found)
    least = found[0].score - 0.01
    assert [(each.first, each.second) for each in prototypes.finish().twins(least, limit=20)] == [(4, 12)]


def test_an_identity_that_nobody_was_added_to_is_never_suggested() -> None:
    embeddings, identities = clusters(identities=3)
    prototypes = Prototypes(5, 64)
    prototypes.add(embeddings, identities)
    judged = prototypes.finish().judge(embeddings, identities)
    assert set(judged.suggested.tolist()) <= {0, 1, 2}
    assert prototypes.finish().judge(embeddings[:0], identities[:0]).margins.shape == (0,)
