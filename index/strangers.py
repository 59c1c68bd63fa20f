"""What strangers score in a gallery, measured on its own people: each is searched for among all the others."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from sqlalchemy import Connection

from index import filters, search
from index.follower import Shard
from index.records import SampleFilter
from index.roster import Ints
from index.version_index import VersionIndex

_BLOCK = 8  # searched for in one moment
_EVERYONE = SampleFilter()


def stranger_scores(
    index: VersionIndex, gallery: str, most: int, least_people: int, seed: int
) -> Iterator[list[float]]:
    """Yield the best score of another identity for each of up to `most` samples drawn, a few at a time.

    Nothing is yielded where fewer than `least_people` are drawn. Samples that are deleted meanwhile are left out.
    Raises `GalleryNotFound`.
    """
    drawn = index.at_one_moment(gallery, partial(_draw, most, least_people, seed))
    for start in range(0, len(drawn), _BLOCK):
        yield index.at_one_moment(gallery, partial(_score, index, drawn[start : start + _BLOCK]))


def _draw(most: int, least_people: int, seed: int, _connection: Connection, _number: int, shard: Shard) -> Ints:
    rows = np.flatnonzero(shard.roster.live)
    rows = np.random.default_rng(seed).choice(rows, min(most, len(rows)), replace=False)
    facts = shard.roster.facts.take(rows)
    return facts.ids if len(np.unique(facts.identities)) >= least_people else facts.ids[:0]


def _score(index: VersionIndex, ids: Ints, connection: Connection, number: int, shard: Shard) -> list[float]:
    rows = shard.roster.find(ids)
    rows = rows[rows >= 0]
    if not len(rows):
        return []
    own = shard.roster.facts.identities[rows].tolist()
    exactly = partial(index.vectors_of, connection, shard)
    everyone = filters.select_rows(connection, number, shard, index.follower.applied, _EVERYONE)
    found = search.rank(shard, exactly(rows), everyone, 2, 1, exactly)  # one of the two is somebody else
    others = [
        [float(person.scores[0]) for person in people if person.identity != identity]
        for people, identity in zip(found, own, strict=True)
    ]
    return [scores[0] for scores in others if scores]
