"""Thresholds measured on a gallery's own people, and a version that has them: the same model, newly calibrated."""

import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import CalibrationRefused
from app.exporting import samples_of
from index.gallery import GalleryStore
from index.records import Embedding, Sample
from model.calibration import RATES, Pairs, calibrate_pairs, pairs_across, resolved_rates
from model.card import CARD_NAME, VERSION_PATTERN, Calibration, Card, created_now, write_card
from model.registry import Registry

LEAST_IDENTITIES = 20
# With 30 errors the true rate is within 30 % of what was counted, nine times out of ten (Doddington's rule of 30).
LEAST_ERRORS = 30
_MOST_SAMPLES = 3000  # 4.5 million pairs
_MOST_EACH = 20


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A rate that the gallery cannot support, and how many pairs of different people it takes."""

    false_match_rate: float
    found: int
    needed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Thresholds of a gallery, and what they are from."""

    calibration: Calibration
    samples: int
    without_camera: int
    suspects: int  # left out
    missing: tuple[Shortfall, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which samples of a gallery count."""

    gallery: str
    any_camera: bool = False  # also pairs of one camera, and of none
    suspects: frozenset[str] = frozenset()  # sample ids to leave out
    seed: int = 0


def measure(store: GalleryStore, choice: Choice, version: str) -> Measured:
    """Measure the thresholds on the stored embeddings of a version.

    Raises `GalleryNotFound`; `CalibrationRefused` for fewer people or pairs than any threshold needs.
    """
    everyone = [each for each in samples_of(store, choice.gallery) if each.sample_id not in choice.suspects]
    seen = everyone if choice.any_camera else [each for each in everyone if each.camera is not None]
    chosen = _choose(seen, choice)
    found = store.embeddings(choice.gallery, [each.sample_id for each in chosen], model_version=version)
    chosen = [each for each in chosen if each.sample_id in found]
    identities = len({each.identity for each in chosen})
    without = len(everyone) - len(seen)
    if identities < LEAST_IDENTITIES:
        aside = f", and {without} samples without a camera, which --any-camera takes" if without else ""
        raise CalibrationRefused(
            f"expected {LEAST_IDENTITIES} identities or more in gallery {choice.gallery!r}, found {identities}{aside}"
        )
    pairs = _pairs(chosen, np.stack([found[each.sample_id] for each in chosen]), choice)
    rates = _supported(pairs, choice)
    negative = int((~pairs.same).sum())
    calibration = calibrate_pairs(
        pairs, rates, protocol=_protocol(choice, len(chosen), identities), identities=identities, seed=choice.seed
    )
    missing = tuple(_shortfall(rate, negative) for rate in RATES if rate not in rates)
    return Measured(calibration, len(chosen), without, len(choice.suspects), missing)


def register(registry: Registry, source: str, version: str, calibration: Calibration) -> Card:
    """Register the source's model files once more, under another version and with another calibration."""
    require_new(registry, version)
    card = registry.card(source)
    made = card.model_copy(update={"version": version, "created": created_now(), "calibration": calibration})
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


def _pairs(chosen: Sequence[Sample], embeddings: Embedding, choice: Choice) -> Pairs:
    identities = np.unique([each.identity for each in chosen], return_inverse=True)[1].astype(np.int64)
    cameras = np.unique([each.camera or "" for each in chosen], return_inverse=True)[1].astype(np.int64)
    return pairs_across(embeddings, identities, np.arange(len(chosen)) if choice.any_camera else cameras)


def _supported(pairs: Pairs, choice: Choice) -> tuple[float, ...]:
    positive = int(pairs.same.sum())
    negative = len(pairs.scores) - positive
    rates = resolved_rates(negative, RATES, LEAST_ERRORS)
    if positive < LEAST_ERRORS or not rates:
        across = "" if choice.any_camera else " across cameras"
        raise CalibrationRefused(
            f"expected {LEAST_ERRORS} pairs{across} of one person and {round(LEAST_ERRORS / max(RATES))} of two in "
            f"gallery {choice.gallery!r}, found {positive} and {negative}; enrol more"
        )
    return rates


def _shortfall(rate: float, negative: int) -> Shortfall:
    return Shortfall(rate, negative, round(LEAST_ERRORS / rate))


def _protocol(choice: Choice, samples: int, identities: int) -> str:
    pairs = "all pairs" if choice.any_camera else "all pairs across cameras"
    suspects = f", {len(choice.suspects)} suspected labels left out" if choice.suspects else ""
    return (
        f"{pairs} of {samples} samples of {identities} identities of the gallery {choice.gallery!r} on "
        f"{created_now():%Y-%m-%d}, labels as enrolled{suspects}; interval: 95 % bootstrap over identities"
    )
