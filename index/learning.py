"""Learning how to search a large gallery: its code, and how wide to look for the recall that is wanted."""

import logging
from dataclasses import replace
from itertools import product

import numpy as np

from index.codes import DEPTHS, PARTS, Codes, Setting
from index.follower import Follower, Shard
from index.records import Embedding
from index.roster import Ints
from index.selection import Selection

_log = logging.getLogger(__name__)
_TRAINING_ROWS = 65_536
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
        sample = shard.vectors.read(np.sort(random.permutation(live)[:_TRAINING_ROWS]))
        rows = len(shard.vectors)
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


def _choose(follower: Follower, shard: Shard, codes: Codes, trials: Ints, recall: float) -> Setting:
    """Return the first setting, from narrow to wide, that reaches the recall; else the best of them."""
    settings = [
        Setting(depth, part) for part, depth in product(PARTS if codes.divided else PARTS[-1:], DEPTHS)
    ]  # fmt: skip
    found = np.zeros(len(settings))
    wanted = 0
    for start in range(0, len(trials), _AT_ONCE):
        some = trials[start : start + _AT_ONCE]
        with follower.lock.reading():
            some = some[shard.roster.live[some]]
            if len(some) == 0:
                continue
            queries = shard.vectors.read(some)
            coded = shard.roster.live.copy()
            coded[len(codes) :] = False  # what came since has no code yet
            exact = _people(shard, shard.vectors.compare(queries, _NEIGHBOURS + 1, Selection.of(coded))[1], some)
            wanted += sum(map(len, exact))
            for place, setting in enumerate(settings):
                near = codes.search(queries, setting.depth, None, setting.part)
                found[place] += _overlap(exact, _people(shard, _ranked(shard, queries, near), some))
    recalls = found / max(wanted, 1)
    enough = np.flatnonzero(recalls >= recall)
    chosen = int(enough[0]) if len(enough) else int(np.argmax(recalls))
    return replace(settings[chosen], recall=round(float(recalls[chosen]), 4))


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


def _overlap(wanted: list[set[int]], found: list[set[int]]) -> int:
    return sum(len(ours & theirs) for ours, theirs in zip(wanted, found, strict=True))
