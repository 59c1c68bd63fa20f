"""Answering a search: from queries to rankings, with the samples that are shown."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from sqlalchemy import Connection

from index import catalogue, filters, search, values
from index.errors import DimensionMismatch, InvalidValue
from index.follower import Shard
from index.records import Embedding, RankedIdentity, RankedSample, Ranking, Sample, SampleFilter, Shortlist
from index.selection import Selection
from index.version_index import VersionIndex

_MOST_IDENTITIES = 1000
_MOST_SAMPLES = 100


def answer(
    index: VersionIndex, gallery: str, queries: Embedding, where: SampleFilter, top_k: int, best: int
) -> list[Ranking]:
    """Rank a gallery's identities for each query, (Q, D), with the `best` samples of each.

    Raises `GalleryNotFound`, `DimensionMismatch`, `InvalidValue`.
    """
    _require(queries, index.version.dim, top_k, best)

    def ask(connection: Connection, number: int, shard: Shard) -> list[Ranking]:
        allowed, ranked = _rank(index, connection, number, shard, queries, where, top_k, best)
        return _rankings(connection, gallery, shard, ranked, allowed.count, best)

    return index.at_one_moment(gallery, ask)


def shortlist(
    index: VersionIndex, gallery: str, query: Embedding, where: SampleFilter, top_k: int, best: int
) -> Shortlist:
    """Rank a gallery's identities for one query, (D,), and return the embeddings of their best samples beside it."""
    queries = query[np.newaxis]
    _require(queries, index.version.dim, top_k, best)

    def ask(connection: Connection, number: int, shard: Shard) -> Shortlist:
        allowed, ranked = _rank(index, connection, number, shard, queries, where, top_k, best)
        [ranking] = _rankings(connection, gallery, shard, ranked, allowed.count, best)
        rows = np.array([row for person in ranked[0] for row in person.rows[:best]], dtype=np.int64)
        return Shortlist(ranking, index.vectors_of(connection, shard, rows))

    return index.at_one_moment(gallery, ask)


def _rank(
    index: VersionIndex,
    connection: Connection,
    number: int,
    shard: Shard,
    queries: Embedding,
    where: SampleFilter,
    top_k: int,
    best: int,
) -> tuple[Selection, list[list[search.Person]]]:
    allowed = filters.select_rows(connection, number, shard, index.follower.applied, where)
    exactly = partial(index.vectors_of, connection, shard)
    return allowed, search.rank(shard, queries, allowed, top_k, best, exactly)


def _rankings(
    connection: Connection, gallery: str, shard: Shard, ranked: list[list[search.Person]], searched: int, best: int
) -> list[Ranking]:
    ids = shard.roster.facts.ids
    keys = [[(person, ids[person.rows].tolist()) for person in people] for people in ranked]
    shown = {key for people in keys for _, rows in people for key in rows}
    found = catalogue.by_number(connection, gallery, shown)
    ranked_people = [tuple(_ranked(person, rows, found, best) for person, rows in people) for people in keys]
    enrolled = len(shard.roster)
    return [Ranking(people, searched, next(iter(people), None), enrolled) for people in ranked_people]


def _require(queries: Embedding, dim: int, top_k: int, best: int) -> None:
    if not 1 <= top_k <= _MOST_IDENTITIES:
        raise InvalidValue("top_k", f"expected top_k from 1 to {_MOST_IDENTITIES}, found {top_k}")
    if not 0 <= best <= _MOST_SAMPLES:
        raise InvalidValue(
            "samples_per_identity", f"expected samples_per_identity from 0 to {_MOST_SAMPLES}, found {best}"
        )
    if queries.ndim != 2:
        raise DimensionMismatch(f"expected queries of the shape (Q, {dim}), found {queries.shape}")
    for query in queries:
        values.embedding("embedding", query, dim)


def _ranked(person: search.Person, keys: Sequence[int], found: Mapping[int, Sample], best: int) -> RankedIdentity:
    shown = tuple(
        RankedSample(found[key], float(score)) for key, score in zip(keys, person.scores, strict=True)
    )  # fmt: skip
    return RankedIdentity(shown[0].sample.identity, shown[0].score, shown[:best])
