"""Thresholds and reference measured on a gallery's own people, and a version that has them: the same model."""

import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import CalibrationRefused
from index.errors import PictureNotStored, StoreDamaged
from index.gallery import GalleryStore
from index.records import Embedding, Sample
from model.calibration import RATES, Pairs, calibrate_pairs, pair_images, resolved_rates
from model.card import (
    CARD_NAME,
    VERSION_PATTERN,
    Calibration,
    Card,
    InputContract,
    OpenSet,
    Reference,
    created_now,
    write_card,
)
from model.errors import ImageError
from model.quality import Quality, measure_picture
from model.reference import PROTOCOL, best_scores, refer
from model.registry import Registry

LEAST_IDENTITIES = 20
# With 30 errors the true rate is within 30 % of what was counted, nine times out of ten (Doddington's rule of 30).
LEAST_ERRORS = 30
_MOST_SAMPLES = 3000  # 4.5 million pairs
_MOST_EACH = 20
_MOST_PICTURES = 1000  # that are decoded for the reference


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A rate that the gallery cannot support, and how many pairs of different people it takes."""

    false_match_rate: float
    found: int
    needed: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples of a gallery count."""

    gallery: str
    any_camera: bool = False  # also pairs of one person on one camera, and samples without one
    suspects: frozenset[str] = frozenset()  # sample ids to leave out
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """Samples of a gallery, their embeddings (N, D), and numbers of their identities and cameras (N,)."""

    choice: Choice
    samples: tuple[Sample, ...]
    embeddings: Embedding
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]  # each its own, where pairs of one person on one camera count

    @property
    def people(self) -> int:
        """How many identities there are."""
        return len(np.unique(self.identities))


@dataclass(frozen=True, slots=True)
class Measured:
    """Thresholds of a gallery, and what they are from."""

    calibration: Calibration
    samples: int
    without_camera: int
    suspects: int  # left out
    missing: tuple[Shortfall, ...]
    drawn: Drawn = field(compare=False, repr=False)


def measure(store: GalleryStore, choice: Choice, version: str) -> Measured:
    """Measure the thresholds on the stored embeddings of a version.

    Raises `GalleryNotFound`; `CalibrationRefused` for fewer people or pairs than any threshold needs.
    """
    everyone = [each for each in store.all_samples(choice.gallery) if each.sample_id not in choice.suspects]
    seen = everyone if choice.any_camera else [each for each in everyone if each.camera is not None]
    chosen = _choose(seen, choice)
    found = store.embeddings(choice.gallery, [each.sample_id for each in chosen], model_version=version)
    chosen = [each for each in chosen if each.sample_id in found]
    without = len(everyone) - len(seen)
    _require_people(choice, len({each.identity for each in chosen}), without)
    drawn = _drawn(choice, chosen, np.stack([found[each.sample_id] for each in chosen]))
    pairs = pair_images(drawn.embeddings, drawn.identities, drawn.cameras)
    rates = _supported(pairs, choice)
    negative = int((~pairs.same).sum())
    calibration = calibrate_pairs(pairs, rates, protocol=_protocol(drawn), identities=drawn.people, seed=choice.seed)
    missing = tuple(_shortfall(rate, negative) for rate in RATES if rate not in rates)
    return Measured(calibration, len(chosen), without, len(choice.suspects), missing, drawn)


def measure_reference(store: GalleryStore, drawn: Drawn, contract: InputContract) -> Reference | None:
    """Return what the drawn samples score as queries, and what their pictures are like, as far as they were kept."""
    pictures: list[Quality] = []
    kept = [each for each in drawn.samples if each.picture_stored][:_MOST_PICTURES]
    for each in kept:
        try:
            pictures.append(measure_picture(store.read_picture(bytes.fromhex(each.digest)), contract))
        except (PictureNotStored, StoreDamaged, ImageError):  # erased meanwhile, or told by `check`
            continue
    scores = best_scores(drawn.embeddings, drawn.identities, drawn.cameras)
    return refer(f"{describe(drawn)}: {PROTOCOL}; {len(pictures)} pictures", scores, pictures)


def register(
    registry: Registry,
    source: str,
    version: str,
    calibration: Calibration,
    reference: Reference | None = None,
    open_set: OpenSet | None = None,
) -> Card:
    """Register the source's model files once more, under another version, with what was measured on other people."""
    require_new(registry, version)
    card = registry.card(source)
    measured = {"calibration": calibration, "reference": reference, "open_set": open_set}
    made = card.model_copy(update={"version": version, "created": created_now(), **measured})
    files = registry.file(source).parent
    with tempfile.TemporaryDirectory() as name:
        for file in card.files:
            shutil.copyfile(files / file, Path(name) / file)
        write_card(made, Path(name) / CARD_NAME)
        registry.import_version(Path(name))
    return made


def require_new(registry: Registry, version: str) -> None:
    """Raise `CalibrationRefused` for what is no version's name, or one that is taken."""
    if not re.fullmatch(VERSION_PATTERN, version):
        raise CalibrationRefused(f"expected a new version such as mine@2, found {version!r}")
    if version in registry.versions():
        raise CalibrationRefused(f"expected a new version, found {version}, which is registered: take another number")


def _choose(samples: Iterable[Sample], choice: Choice) -> list[Sample]:
    """Return whole people at random, those whom two cameras see first, as far as all their pairs can be held."""
    by_identity: dict[str, list[Sample]] = defaultdict(list)
    for each in samples:
        by_identity[each.identity].append(each)
    rng = np.random.default_rng(choice.seed)
    order = rng.permutation(len(by_identity))
    people = [list(by_identity.values())[place] for place in order.tolist()]
    people.sort(key=lambda theirs: len({each.camera for each in theirs}) < 2)
    chosen: list[Sample] = []
    for theirs in people:
        kept = rng.permutation(len(theirs))[:_MOST_EACH].tolist()
        if len(chosen) + len(kept) > _MOST_SAMPLES:
            break
        chosen += [theirs[place] for place in kept]
    return chosen


def _drawn(choice: Choice, chosen: Sequence[Sample], embeddings: Embedding) -> Drawn:
    identities = np.unique([each.identity for each in chosen], return_inverse=True)[1].astype(np.int64)
    cameras = np.unique([each.camera or "" for each in chosen], return_inverse=True)[1].astype(np.int64)
    each_its_own = np.arange(len(chosen))
    return Drawn(choice, tuple(chosen), embeddings, identities, each_its_own if choice.any_camera else cameras)


def _require_people(choice: Choice, identities: int, without: int) -> None:
    if identities < LEAST_IDENTITIES:
        aside = f", and {without} samples without a camera, which --any-camera takes" if without else ""
        raise CalibrationRefused(
            f"expected {LEAST_IDENTITIES} identities or more in gallery {choice.gallery!r}, found {identities}{aside}"
        )


def _supported(pairs: Pairs, choice: Choice) -> tuple[float, ...]:
    positive = int(pairs.same.sum())
    negative = len(pairs.scores) - positive
    rates = resolved_rates(negative, RATES, LEAST_ERRORS)
    if positive < LEAST_ERRORS or not rates:
        across = "" if choice.any_camera else " across cameras"
        raise CalibrationRefused(
            f"expected {LEAST_ERRORS} pairs of one person{across} and {round(LEAST_ERRORS / max(RATES))} of two in "
            f"gallery {choice.gallery!r}, found {positive} and {negative}; enrol more"
        )
    return rates


def _shortfall(rate: float, negative: int) -> Shortfall:
    return Shortfall(rate, negative, round(LEAST_ERRORS / rate))


def _protocol(drawn: Drawn) -> str:
    across = "" if drawn.choice.any_camera else ", of one identity across cameras"
    return f"all pairs of {describe(drawn)}{across}; interval: 95 % bootstrap over identities"


def describe(drawn: Drawn) -> str:
    """Say which samples were drawn, and when."""
    suspects = f", {len(drawn.choice.suspects)} suspected labels left out" if drawn.choice.suspects else ""
    return (
        f"{len(drawn.samples)} samples of {drawn.people} identities of the gallery {drawn.choice.gallery!r} on "
        f"{created_now():%Y-%m-%d}, labels as enrolled{suspects}"
    )
