"""The card of a model version: what it is, what it takes, how good it is, and on what terms."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from model.errors import RegistryError

CARD_NAME = "card.json"
VERSION_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}@[1-9][0-9]{0,8}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class DataSummary(_Part):
    """What the network was trained on; the hash is over the sorted list of file names and sizes."""

    name: str
    images: int
    identities: int
    cameras: int
    file_list_sha256: str
    terms: str


class Parity(_Part):
    """How far a file's embeddings are from the network's: least cosine over real crops, by batch size."""

    precision: Literal["fp32", "int8"]
    images: int
    batch_sizes: tuple[int, ...]
    least_cosine: float
    mean_cosine: float
    rank1_difference: float
    mAP_difference: float


class Card(_Part):
    """A version's card; `version` is `name@n`."""

    schema_version: Literal[1] = 1
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
    files: dict[str, str] = Field(description="file name -> sha256 of its bytes")
    terms: str

    @property
    def name(self) -> str:
        """The part of the version before the `@`."""
        return self.version.partition("@")[0]

    @property
    def number(self) -> int:
        """The part of the version after the `@`."""
        return int(self.version.partition("@")[2])


def read_card(path: Path) -> Card:
    """Read a card from its JSON file; raise `RegistryError` when it is missing or not a card."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise RegistryError(f"expected a model card at {path.name}, found none: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RegistryError(f"{path.name} is not a model card: {where}: {first['msg']}") from exc


def write_card(card: Card, path: Path) -> None:
    """Write a card as JSON that people can read."""
    path.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def created_now() -> datetime:
    """Return the time of creation for a new card, in UTC to the second."""
    return datetime.now(UTC).replace(microsecond=0)
