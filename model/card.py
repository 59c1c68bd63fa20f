"""The card of a model version: what it is, what it takes, how good it is, and on what terms."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.errors import RegistryError
from model.measures import Name

CARD_NAME = "card.json"
CARD_HASH = "card.sha256"  # beside a registered card, as `sha256sum --check` reads it
VERSION_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}@[1-9][0-9]{0,8}$"
SCHEMA_VERSION: Literal[2] = 2
Precision = Literal["int8", "fp32"]
FILES: dict[Precision, str] = {"int8": "model.int8.onnx", "fp32": "model.onnx"}  # the one that is served first
WEIGHTS = "weights.safetensors"  # what training goes on from; serving does not read it
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_OWN_FILES = frozenset({CARD_NAME, CARD_HASH, "config.pbtxt"})  # beside the card's files, and not among them


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _require_file_name(name: str) -> str:
    if not re.fullmatch(FILE_NAME, name) or name in _OWN_FILES:
        raise ValueError(f"expected a file name such as model.onnx, found {name[:80]!r}")
    return name


FileName = Annotated[str, AfterValidator(_require_file_name)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class InputContract(_Part):
    """What the ONNX graph takes: `(N, height, width, 3)` uint8 RGB; normalisation is inside."""

    name: str = "images"
    dtype: Literal["uint8"] = "uint8"
    layout: Literal["NHWC"] = "NHWC"
    color: Literal["RGB"] = "RGB"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    resize: Literal["bilinear"] = "bilinear"


class OutputContract(_Part):
    """What the ONNX graph gives: `(N, dim)` float32 of unit length."""

    name: str = "embeddings"
    dim: int = Field(gt=0)
    normalised: Literal[True] = True


class Metrics(_Part):
    """Retrieval figures in percent, with the protocol that they were measured by."""

    protocol: str
    precision: Literal["fp32", "int8", "torch"]
    rank1: float
    rank5: float
    rank10: float
    mAP: float
    mINP: float
    queries: int
    skipped: int
    gallery: int
    command: str


class Threshold(_Part):
    """The cosine score at or above which a false match happens at the given rate."""

    false_match_rate: float = Field(gt=0, lt=1)
    threshold: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1)
    high: float = Field(ge=-1, le=1)
    true_match_rate: float = Field(ge=0, le=1)


class Calibration(_Part):
    """Thresholds measured on identities that training never saw."""

    protocol: str
    identities: int
    positive_pairs: int
    negative_pairs: int
    equal_error_rate: float
    thresholds: tuple[Threshold, ...] = Field(min_length=1)


class Identification(_Part):
    """At a rate of strangers taken for somebody: the share of known people who are found, first and by that score."""

    false_alarm_rate: float = Field(gt=0, lt=1)
    threshold: float = Field(ge=-1, le=1)
    detection_rate: float = Field(ge=0, le=1)
    deviation: float = Field(ge=0, description="standard deviation of the detection rate over the divisions")


class OpenSet(_Part):
    """Open-set identification, DIR@FAR, on identities that training never saw; counts and rates are means."""

    protocol: str
    divisions: int
    enrolled: int
    mated_probes: float
    unmated_probes: float
    rates: tuple[Identification, ...] = Field(min_length=1)


class Histogram(_Part):
    """How often one measure was where, in bins of equal width; what is beyond the ends is in the outer ones."""

    measure: Name
    low: float
    high: float
    counts: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _require_counts(self) -> Self:
        if not self.low < self.high or not any(self.counts):
            raise ValueError(
                f"expected counts from low to high, found {sum(self.counts)} from {self.low} to {self.high}"
            )
        return self


class Reference(_Part):
    """What queries score and what pictures are like where the thresholds were measured; drift is told beside it."""

    protocol: str
    measures: tuple[Histogram, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _require_one_each(self) -> Self:
        names = [each.measure for each in self.measures]
        if len(set(names)) < len(names):
            raise ValueError(f"expected one histogram of each measure, found {', '.join(names)}")
        return self


class DataSummary(_Part):
    """What the network was trained on; the hash is over the sorted list of file names and sizes."""

    name: str
    images: int
    identities: int
    cameras: int
    file_list_sha256: str
    terms: str

    @property
    def source(self) -> str:
        """The data set's name, without that of its training split."""
        return self.name.partition("/")[0]


class Parity(_Part):
    """How far a file's embeddings are from the network's: least cosine over real crops, by batch size."""

    precision: Precision
    images: int
    batch_sizes: tuple[int, ...]
    least_cosine: float
    mean_cosine: float
    rank1_difference: float
    mAP_difference: float


class Baseline(_Part):
    """What another version, the one to be replaced, is worth on the data that this version was measured on."""

    version: str = Field(pattern=VERSION_PATTERN)
    metrics: tuple[Metrics, ...]


class Card(_Part):
    """A version's card; `version` is `name@n`.

    Schema 2 added `parent`, the version that training began from, `baseline` and `reference`.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    version: str = Field(pattern=VERSION_PATTERN)
    created: AwareDatetime
    loss: dict[str, Any]
    recipe: dict[str, Any]
    data: DataSummary
    seed: int
    commit: str
    metrics: tuple[Metrics, ...]
    calibration: Calibration | None
    open_set: OpenSet | None = None
    input: InputContract
    output: OutputContract
    parity: tuple[Parity, ...]
    files: dict[FileName, Digest] = Field(description="file name -> sha256 of its bytes")
    terms: str
    parent: str | None = Field(None, pattern=VERSION_PATTERN)
    baseline: Baseline | None = None
    reference: Reference | None = None

    @property
    def name(self) -> str:
        """The part of the version before the `@`."""
        return self.version.partition("@")[0]

    @property
    def number(self) -> int:
        """The part of the version after the `@`."""
        return int(self.version.partition("@")[2])

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What the version can be run in, the one that is served first."""
        return tuple(precision for precision, name in FILES.items() if name in self.files)

    def precision(self, asked: Precision | None) -> Precision:
        """Return what is asked for, or what is served where nothing is; raise `RegistryError` for what has no file."""
        if not self.precisions or (asked is not None and asked not in self.precisions):
            raise RegistryError(f"expected an {asked or 'ONNX'} file in {self.version}, found {', '.join(self.files)}")
        return asked or self.precisions[0]

    @property
    def model_files(self) -> tuple[str, ...]:
        """The names of its ONNX files, the one that is served first."""
        return tuple(FILES[precision] for precision in self.precisions)


def read_card(path: Path) -> Card:
    """Read a card of this or an older schema from its file; raise `RegistryError` when it is missing or no card."""
    return parse_card(read_card_text(path))


def read_card_text(path: Path) -> bytes:
    """Return a card's JSON as it is; raise `RegistryError` when it is missing."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RegistryError(f"expected a model card at {path.name}, found none: {exc.strerror}") from exc


def parse_card(data: bytes) -> Card:
    """Return the card that a JSON text is, brought up to this release's schema; raise `RegistryError`."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise RegistryError(f"{CARD_NAME} is not a model card: expected JSON, found {data[:40]!r}") from exc
    if not isinstance(content, dict):
        raise RegistryError(f"{CARD_NAME} is not a model card: expected an object, found {type(content).__name__}")
    try:
        return Card.model_validate_json(json.dumps(_upgrade(content)))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RegistryError(f"{CARD_NAME} is not a model card: {where}: {first['msg']}") from exc


def _upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return a card's content in this release's schema; raise `RegistryError` for a schema that it does not know."""
    found = content.get("schema_version")
    if type(found) is not int or found < 1:
        raise RegistryError(f"{CARD_NAME} is not a model card: expected a schema_version from 1, found {found!r}")
    if found > SCHEMA_VERSION:
        raise RegistryError(
            f"{CARD_NAME} has schema {found} and this release reads up to {SCHEMA_VERSION}: install a newer hap2s-reid"
        )
    for upgrade in _UPGRADES[found - 1 :]:
        content = upgrade(content)
    return content


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content as it is: what schema 2 added may be missing."""
    return content | {"schema_version": 2}


# The n-th brings a card of schema n to schema n + 1. A card on the disk is never rewritten: its text is the version's.
_UPGRADES: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_from_1,)


def write_card(card: Card, path: Path) -> None:
    """Write a card as JSON that people can read."""
    path.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def created_now() -> datetime:
    """Return the time of creation for a new card, in UTC to the second."""
    return datetime.now(UTC).replace(microsecond=0)
