"""What is looked at before a gallery is switched to another version: are the vectors whole, and do they find people."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, or_, select

from index import catalogue, reembedding
from index.answering import answer
from index.database import Database
from index.errors import GalleryError
from index.indexes import Indexes
from index.migration import Migration
from index.pictures import PictureStore
from index.records import Embedding, RankedIdentity, Sample, SampleFilter
from index.roster import Ints
from index.schema import samples
from index.vectors import BLOCK_ROWS
from index.version_index import VersionIndex

PROBES: Final = 200  # samples of all galleries that are searched for, in both versions
EMBEDDED: Final = 16  # of these, whose picture is embedded once more
RANKS: Final = 10
LEAST_SAME: Final = 0.99  # cosine of a vector and what its picture gives once more
LEAST_FOUND: Final = 0.98  # the part of samples that are found by their own vector
MOST_ALIKE: Final = 0.99  # the mean cosine of different samples
MOST_LOST: Final = 0.05  # the part of people who were found across cameras, and are not any more
FEWEST: Final = 20  # people for that to be judged
_ROUNDED = 1e-2  # how far a vector that is kept in half precision may be from length 1
_COUNTED = 1_000_000  # samples that a problem counts at most

Embed = Callable[[bytes], Embedding]


@dataclass(frozen=True, slots=True)
class Side:
    """What goes with one of the two versions: its threshold, if it is calibrated, and what embeds a picture."""

    threshold: float | None
    embed: Embed


@dataclass(frozen=True, slots=True)
class Probe:
    """A sample that is searched for: itself, and the person of it on another camera."""

    number: int
    sample: Sample
    elsewhere: bool  # whether the person has a sample that the search below may return

    @property
    def others(self) -> SampleFilter:
        """All but the sample itself, and what its own camera took."""
        cameras = frozenset() if self.sample.camera is None else frozenset({self.sample.camera})
        return SampleFilter(exclude_sample=self.sample.sample_id, exclude_cameras=cameras)


@dataclass(frozen=True, slots=True)
class Found:
    """What one version answers to the probes, in their order."""

    itself: list[bool]
    people: list[tuple[RankedIdentity, ...]]
    milliseconds: float  # of a search, median


class Validation:
    """One comparison of two versions over the samples of a store; both indexes are in memory."""

    def __init__(self, database: Database, indexes: Indexes, pictures: PictureStore, moving: Migration) -> None:
        self._database = database
        self._pictures = pictures
        self._moving = moving
        self._source = indexes.of(moving.source)
        self._target = indexes.of(moving.target)

    def run(self, source: Side, target: Side, seed: int = 0) -> dict[str, Any]:
        """Return the figures, and as `problems` why the target must not serve; none: it may."""
        self._target.complete()
        counts = self._counts()
        if counts["odd_vectors"]:  # nothing can be searched with them
            problem = f"{counts['odd_vectors']} vectors are not finite and of length 1"
            return {"passed": False, "problems": [problem], **counts}
        probes = self._probes(seed)
        before, after = (self._search(index, probes) for index in (self._source, self._target))
        figures: dict[str, Any] = {**counts, "probes": len(probes), **_agreement(before, after)}
        figures["found_by_own_vector"] = _part(after.itself)
        figures["mean_cosine"] = self._mean_cosine(probes)
        figures["across_cameras"] = _across_cameras(probes, before, after)
        figures["verdicts"] = _verdicts(before, after, source.threshold, target.threshold)
        figures["embedded_again"] = self._embed_again(probes, source, target)
        figures["search_ms"] = {"source": before.milliseconds, "target": after.milliseconds}
        broken, worse = _broken(figures, leave_out=self._moving.leave_out), _worse(figures)
        overruled = worse if self._moving.forced else []
        problems = broken if self._moving.forced else broken + worse
        return {"passed": not problems, "problems": problems, "overruled": overruled, **figures}

    def _probes(self, seed: int) -> list[Probe]:
        """Choose samples of both versions by chance, of each gallery as many as its part of all."""
        rows = [
            (name, ids)
            for name, number in self._numbers().items()
            if len(ids := np.intersect1d(_ids(self._source, number), _ids(self._target, number)))
        ]
        total = sum(len(ids) for _, ids in rows)
        random = np.random.default_rng(seed)
        probes: list[Probe] = []
        for name, ids in rows:
            wanted = min(len(ids), max(1, round(PROBES * len(ids) / total)))
            probes += self._of_gallery(name, random.choice(ids, wanted, replace=False).tolist())
        return probes

    def _numbers(self) -> dict[str, int]:
        with self._database.read() as connection:
            return catalogue.gallery_numbers(connection)

    def _of_gallery(self, gallery: str, numbers: list[int]) -> list[Probe]:
        with self._database.read() as connection:
            found = catalogue.by_number(connection, gallery, numbers)
            rows = select(samples.c.id, samples.c.identity_id, samples.c.camera_id)
            facts = {row.id: row for row in connection.execute(rows.where(samples.c.id.in_(numbers)))}
            return [
                Probe(number, sample, _elsewhere(connection, facts[number]))
                for number, sample in sorted(found.items())
                if number in facts
            ]

    def _search(self, index: VersionIndex, probes: list[Probe]) -> Found:
        itself: list[bool] = []
        people: list[tuple[RankedIdentity, ...]] = []
        seconds: list[float] = []
        for probe in probes:
            with self._database.read() as connection:
                vector = index.stored(connection, [probe.number]).get(probe.number)
            if vector is None:  # erased since
                itself.append(True)
                people.append(())
                continue
            gallery, query = probe.sample.gallery, vector[None]
            [own] = answer(index, gallery, query, SampleFilter(), 1, 1)
            started = time.perf_counter()
            [others] = answer(index, gallery, query, probe.others, RANKS, 1)
            seconds.append(time.perf_counter() - started)
            itself.append(bool(own.identities) and own.identities[0].score > 1.0 - 1e-3)
            people.append(others.identities)
        return Found(itself, people, round(1000 * median(seconds), 3) if seconds else 0.0)

    def _counts(self) -> dict[str, int]:
        with self._database.read() as connection:
            count = catalogue.count(connection)
            missing = reembedding.pending(connection, self._moving.target_id, 0, _COUNTED)
            later = sum(each.number > self._moving.position for each in missing)  # enrolled meanwhile, and to come yet
            left = (
                len(reembedding.left_out(connection, self._moving.target_id, _COUNTED)) if self._moving.left_out else 0
            )
        return {"samples": count, "missing": len(missing) - later, "left_out": left, "odd_vectors": self._odd_vectors()}

    def _odd_vectors(self) -> int:
        """Count the target's vectors that are not finite and of length 1."""
        odd, follower = 0, self._target.follower
        for shard in list(follower.shards.values()):
            for start in range(0, shard.roster.rows, BLOCK_ROWS):
                with follower.lock.reading():
                    live = np.flatnonzero(shard.roster.live[start : start + BLOCK_ROWS]) + start
                    lengths = np.linalg.norm(shard.vectors.read(live), axis=1)
                odd += int(np.count_nonzero(~(np.abs(lengths - 1.0) <= _ROUNDED)))  # NaN is odd
        return odd

    def _mean_cosine(self, probes: list[Probe]) -> float | None:
        """Return the mean cosine of different samples in the target: near 1, the model tells nobody apart."""
        with self._database.read() as connection:
            vectors = list(self._target.stored(connection, [probe.number for probe in probes]).values())
        if len(vectors) < 2:
            return None
        total = float(np.square(np.stack(vectors).sum(axis=0, dtype=np.float64)).sum())
        return round((total - len(vectors)) / (len(vectors) * (len(vectors) - 1)), 4)

    def _embed_again(self, probes: list[Probe], source: Side, target: Side) -> dict[str, Any]:
        """Embed some pictures once more, to compare with what is stored and to time it."""
        cosines: list[float] = []
        times: dict[str, list[float]] = {"source": [], "target": []}
        for probe in [probe for probe in probes if probe.sample.picture_stored][:EMBEDDED]:
            try:
                picture = self._pictures.get(bytes.fromhex(probe.sample.digest))
            except GalleryError:  # erased since, or damaged, which `check` tells
                continue
            for name, side in (("source", source), ("target", target)):
                started = time.perf_counter()
                vector = side.embed(picture)
                times[name].append(time.perf_counter() - started)
            with self._database.read() as connection:
                stored = self._target.stored(connection, [probe.number])
            cosines += [float(np.dot(vector, stored[probe.number]))] if probe.number in stored else []
        milliseconds = {name: round(1000 * median(each), 2) if each else None for name, each in times.items()}
        return {"pictures": len(cosines), "least_cosine": min(cosines, default=None), "milliseconds": milliseconds}


def _elsewhere(connection: Connection, row: Any) -> bool:  # noqa: ANN401
    """Tell whether a sample's person has another sample, not of the same camera."""
    other = select(samples.c.id).where(samples.c.identity_id == row.identity_id, samples.c.id != row.id)
    if row.camera_id is not None:
        other = other.where(or_(samples.c.camera_id.is_(None), samples.c.camera_id != row.camera_id))
    return connection.execute(other.limit(1)).first() is not None


def _ids(index: VersionIndex, gallery: int) -> Ints:
    with index.follower.lock.reading():
        roster = index.follower.shard(gallery).roster
        return roster.facts.ids[roster.live].copy()


def _part(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None


def _agreement(before: Found, after: Found) -> dict[str, float | None]:
    """Return how often both versions name the same person first, and how many of the first ten they share."""
    pairs = [
        ([each.identity for each in one], [each.identity for each in other])
        for one, other in zip(before.people, after.people, strict=True)
        if one and other
    ]
    shared = [len(set(one) & set(other)) / max(len(one), len(other)) for one, other in pairs]
    return {
        "same_first": _part([one[0] == other[0] for one, other in pairs]),
        "same_of_ten": round(float(np.mean(shared)), 4) if shared else None,
    }


def _across_cameras(probes: Sequence[Probe], before: Found, after: Found) -> dict[str, Any]:
    """Return the part of people whom each version names first, of those who were also seen by another camera."""
    hits = {
        name: [
            bool(people) and people[0].identity == probe.sample.identity
            for probe, people in zip(probes, found.people, strict=True)
            if probe.elsewhere
        ]
        for name, found in (("source", before), ("target", after))
    }
    return {"people": len(hits["source"]), "source": _part(hits["source"]), "target": _part(hits["target"])}


def _verdicts(before: Found, after: Found, source: float | None, target: float | None) -> dict[str, Any]:
    """Count the verdicts at each version's own threshold; None where one of them has none."""
    lines: dict[str, Any] = {"source_threshold": source, "target_threshold": target}
    if source is None or target is None:
        return lines | {"match_in_both": None, "only_source": None, "only_target": None, "in_neither": None}
    matches = [
        (bool(one) and one[0].score >= source, bool(other) and other[0].score >= target)
        for one, other in zip(before.people, after.people, strict=True)
    ]
    return lines | {
        "match_in_both": matches.count((True, True)),
        "only_source": matches.count((True, False)),
        "only_target": matches.count((False, True)),
        "in_neither": matches.count((False, False)),
    }


def _broken(figures: Mapping[str, Any], *, leave_out: bool) -> list[str]:
    """Return in what the target's vectors are not what they should be."""
    again = figures["embedded_again"]["least_cosine"]
    found = figures["found_by_own_vector"]
    told = [
        (figures["missing"], f"{figures['missing']} samples have no vector of it"),
        (
            figures["left_out"] and not leave_out,
            f"{figures['left_out']} samples could not be embedded again: the log names them; delete them, or activate "
            "with leave_out",
        ),
        (
            found is not None and found < LEAST_FOUND,
            f"expected {LEAST_FOUND:.0%} of samples to be found by their own vector, found {found}",
        ),
        (
            again is not None and again < LEAST_SAME,
            f"expected a picture to give the stored vector once more, found a cosine of {again}",
        ),
    ]
    return [problem for holds, problem in told if holds]


def _worse(figures: Mapping[str, Any]) -> list[str]:
    """Return in what the target is worse than the source at telling people apart."""
    across, alike = figures["across_cameras"], figures["mean_cosine"]
    told = [
        (
            alike is not None and alike > MOST_ALIKE,
            f"expected different people to be told apart, found a mean cosine of {alike}",
        ),
        (
            across["people"] >= FEWEST and across["target"] < across["source"] - MOST_LOST,
            f"of {across['people']} people seen by two cameras, {across['target']} are found first, and "
            f"{across['source']} by the version before",
        ),
    ]
    return [problem for holds, problem in told if holds]
