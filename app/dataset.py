"""Which pictures of a gallery make a training data set, and in which split each of them goes."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from app.errors import ExportRefused
from index.records import Sample


class LeftOut(StrEnum):
    """Why a sample is not in the data set."""

    NO_PICTURE = "no_picture"
    UNREADABLE = "unreadable"
    ERASED = "erased"
    TWO_IDENTITIES = "two_identities"
    SAME_PICTURE = "same_picture"
    NO_CAMERA = "no_camera"
    FEW_SAMPLES = "few_samples"


class Split(StrEnum):
    """The splits of a manifest; `TEST` is both query and gallery."""

    TRAIN = "train"
    TEST = "test"
    GALLERY = "gallery"


@dataclass(frozen=True, slots=True)
class Picture:
    """One sample as far as a data set needs it."""

    sample_id: str
    digest: str  # sha256 of the picture's bytes
    identity: str
    camera: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be in the data set."""

    holdout: float = 0.2  # the share of the identities that are tested with
    seed: int = 0
    least: int = 2  # samples of an identity
    cameras: bool = True


def choose(samples: Iterable[Sample], wanted: Selection, left_out: Counter[LeftOut]) -> list[Picture]:
    """Return the pictures that a data set can have, in the order of enrolment; count those that it cannot."""
    stored = []
    for each in samples:
        if each.picture_stored:
            stored.append(Picture(each.sample_id, each.digest, each.identity, each.camera if wanted.cameras else None))
        else:
            left_out[LeftOut.NO_PICTURE] += 1
    once = _once(stored, left_out)
    if any(each.camera is not None for each in once):
        seen = [each for each in once if each.camera is not None]
        left_out[LeftOut.NO_CAMERA] += len(once) - len(seen)
        once = seen
    return enough(once, wanted.least, left_out)


def enough(pictures: Sequence[Picture], least: int, left_out: Counter[LeftOut]) -> list[Picture]:
    """Return the pictures of the identities that have at least so many."""
    counts = Counter(each.identity for each in pictures)
    kept = [each for each in pictures if counts[each.identity] >= least]
    left_out[LeftOut.FEW_SAMPLES] += len(pictures) - len(kept)
    return kept


def _once(pictures: Sequence[Picture], left_out: Counter[LeftOut]) -> list[Picture]:
    """Return each picture once; one that is two people's teaches nothing and would be in two splits."""
    people: dict[str, set[str]] = defaultdict(set)
    for each in pictures:
        people[each.digest].add(each.identity)
    kept: dict[str, Picture] = {}
    for each in pictures:
        if len(people[each.digest]) > 1:
            left_out[LeftOut.TWO_IDENTITIES] += 1
        elif each.digest in kept:
            left_out[LeftOut.SAME_PICTURE] += 1
        else:
            kept[each.digest] = each
    return list(kept.values())


def is_held_out(identity: str, wanted: Selection) -> bool:
    """Tell whether an identity is tested with: by its name and the seed alone, so that it is so in a later export."""
    return _place(identity, wanted.seed) < wanted.holdout


def _place(identity: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}\0{identity}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def assign(pictures: Sequence[Picture], wanted: Selection) -> Iterator[tuple[Picture, Split]]:
    """Yield each picture with its split.

    The first picture of a held-out identity by each camera is a query, as in Market-1501, and in the gallery as well,
    so that it can be found by another camera's; an identity of one camera is in the gallery alone.
    """
    by_identity = sorted(pictures, key=lambda each: each.identity)
    for identity, group in groupby(by_identity, key=lambda each: each.identity):
        held_out, asked = is_held_out(identity, wanted), set[str | None]()
        theirs = list(group)
        crossing = len({each.camera for each in theirs}) > 1
        for each in theirs:
            if not held_out:
                yield each, Split.TRAIN
            elif each.camera is None or (crossing and each.camera not in asked):
                asked.add(each.camera)
                yield each, Split.TEST
            else:
                yield each, Split.GALLERY


def require_usable(pictures: Sequence[Picture], wanted: Selection) -> None:
    """Raise `ExportRefused` for what nothing could be learnt from, or no query of which could be answered."""
    cameras = {each.camera for each in pictures}
    if len(cameras) == 1 and None not in cameras:
        raise ExportRefused(
            f"expected samples of two cameras or more, found {len(pictures)} of one; a match is to be found across "
            "cameras. With --no-cameras they are written as a data set of classes"
        )
    views = _views(pictures)
    for held_out, what, least in ((False, "to train on", 2), (True, "to test with", 1)):
        theirs = [views[identity] for identity in views if is_held_out(identity, wanted) is held_out]
        crossing = sum(count > 1 for count in theirs)
        if (theirs or not held_out) and (len(theirs) < least or not crossing):
            across = "seen by two cameras" if None not in cameras else "with two pictures"
            raise ExportRefused(
                f"expected {least} identities {what}, one of them {across}, found {len(theirs)}, of which {crossing} "
                f"are; enrol more people, or give another --holdout (now {wanted.holdout:g}) or --seed"
            )


def _views(pictures: Iterable[Picture]) -> Mapping[str, int]:
    """Count for each identity the cameras, or the pictures where there are none."""
    seen: dict[str, set[str]] = defaultdict(set)
    for each in pictures:
        seen[each.identity].add(each.digest if each.camera is None else each.camera)
    return {identity: len(views) for identity, views in seen.items()}


def one_camera(pictures: Iterable[Picture]) -> int:
    """Count the identities that a single camera sees, where there are cameras."""
    return sum(count == 1 for count in _views(each for each in pictures if each.camera is not None).values())


def pseudonyms(pictures: Iterable[Picture], seed: int) -> dict[str, str]:
    """Return a number for each identity, in an order that the names do not tell."""
    people = sorted({each.identity for each in pictures}, key=lambda identity: _place(identity, seed))
    width = max(4, len(str(len(people))))
    return {identity: f"{number:0{width}d}" for number, identity in enumerate(people, start=1)}
