"""Learning how to search a large gallery: its code, and how wide to look for the recall that is wanted."""

import logging
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from index.codes import DEPTHS, PARTS, Codes, Setting
from index.follower import Follower, Shard
from index.records import Embedding
from index.roster import Ints
from index.selection import Selection

_log = logging.getLogger(__name__)
_ENCODED_ROWS = 16_384  # at once
_GROWN = 2  # times the rows that a code was learnt from; then it is learnt again
_TRIALS = 120  # samples of the gallery that are searched for, to measure the recall
_AT_ONCE = 5  # trials that are compared with all rows while writers wait
_IDENTITIES = 10
_NEIGHBOURS = 256  # samples among which a trial's identities are looked for


def is_due(shard: Shard) -> bool:
    """Tell whether a gallery is too large to be compared row by row, and its code is missing or of its youth."""
    rows = len(shard.vectors)
    return rows > shard.vectors.exact_rows and rows > _GROWN * shard.learnt_rows


def learn(follower: Follower, gallery: int, shard: Shard, recall: float) -> None:
    """Give a shard's vectors a code whose candidates hold `recall` of the ten best identities; others go on meanwhile.

    Where no setting reaches it, the gallery goes on being compared row by row.
    """
    random = np.random.default_rng(0)
    with follower.lock.reading():
        live = np.flatnonzero(shard.roster.live)
        rows = len(shard.vectors)
        sample = shard.vectors.read(np.sort(random.permutation(live)[: Codes.training_rows(rows)]))
    codes = Codes.train(sample, rows)
    while (start := len(codes)) < rows:
        with follower.lock.reading():
            block = shard.vectors.read(np.arange(start, min(start + _ENCODED_ROWS, rows)))
        codes.add(block)
    setting = _choose(follower, shard, codes, random.permutation(live)[:_TRIALS], recall)
    codes.setting = replace(setting, rows=rows)
    told = gallery, rows, setting.recall
    with follower.lock.writing():
        shard.learnt_rows = rows
        if setting.recall < recall:
            _log.warning("gallery %d of %d samples: codes reach a recall of %s only, so all are compared", *told)
            return
        codes.add(shard.vectors.read(np.arange(len(codes), len(shard.vectors))))
        shard.vectors.codes = codes
        shard.unsaved = max(shard.unsaved, 1)
    _log.info("gallery %d of %d samples: searched by codes from now on, recall %s", *told)


@dataclass(frozen=True, slots=True)
class _Trials:
    """Some of a gallery's samples, searched for among all that have a code."""

    rows: Ints
    queries: Embedding
    people: list[set[int]]  # the ten best identities of each, by comparison with every sample


def _choose(follower: Follower, shard: Shard, codes: Codes, trials: Ints, recall: float) -> Setting:
    """Return the first setting, from narrow to wide, that reaches the recall; else the best of them."""
    wanted = [
        _compared(follower, shard, codes, trials[start : start + _AT_ONCE]) for start in range(0, len(trials), _AT_ONCE)
    ]
    tried = []
    for part, depth in product(PARTS if codes.divided else PARTS[-1:], DEPTHS):
        tried.append(_measured(follower, shard, codes, Setting(depth, part), wanted))
        if tried[-1].recall >= recall:
            return tried[-1]
    return max(tried, key=lambda setting: setting.recall)


def _compared(follower: Follower, shard: Shard, codes: Codes, rows: Ints) -> _Trials:
    with follower.lock.reading():
        rows = rows[shard.roster.live[rows]]
        queries = shard.vectors.read(rows)
        coded = shard.roster.live.copy()
        coded[len(codes) :] = False  # what came since has no code yet
        found = shard.vectors.compare(queries, _NEIGHBOURS + 1, Selection.of(coded))[1]
        return _Trials(rows, queries, _people(shard, found, rows))


def _measured(follower: Follower, shard: Shard, codes: Codes, setting: Setting, wanted: list[_Trials]) -> Setting:
    """Return a setting with its recall."""
    found = 0
    for trials in wanted:
        with follower.lock.reading():
            near = codes.search(trials.queries, setting.depth, None, setting.part)
            people = _people(shard, _ranked(shard, trials.queries, near), trials.rows)
        found += sum(len(exact & ours) for exact, ours in zip(trials.people, people, strict=True))
    total = sum(len(exact) for trials in wanted for exact in trials.people)
    return replace(setting, recall=round(found / max(total, 1), 4))


def _ranked(shard: Shard, queries: Embedding, near: Ints) -> list[Ints]:
    """Sort each query's candidates by their inner product."""
    answers = []
    for query, row in zip(queries, near, strict=True):
        candidates = row[row >= 0]
        answers.append(candidates[np.argsort(-shard.vectors.products(candidates, query), kind="stable")])
    return answers


def _people(shard: Shard, ranked: Ints | list[Ints], asked: Ints) -> list[set[int]]:
    """Return the first ten identities of each ranking, the sample that was asked for left out."""
    people = []
    for rows, own in zip(ranked, asked, strict=True):
        seen = dict.fromkeys(shard.roster.facts.identities[rows[(rows >= 0) & (rows != own)]].tolist())
        people.append(set(list(seen)[:_IDENTITIES]))
    return people
