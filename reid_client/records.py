"""What the service answers, as frozen records; times are aware datetimes, scores cosine similarities in [-1, 1]."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
MigrationState = Literal[
    "planned", "running", "validating", "switched", "finalized", "cancelled", "rolled_back", "failed"
]


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item of several failed."""

    code: str
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class RankedSample:
    """One enrolled picture with its similarity to the query."""

    sample_id: str
    score: float
    camera: str | None
    captured_at: datetime | None
    attributes: Mapping[str, Any]
    image_url: str | None


@dataclass(frozen=True, slots=True)
class RankedIdentity:
    """One person; the score is the best sample's, `match` is None when there is no threshold.

    `false_alarm_rate` is the share of strangers who would score as much with somebody in the gallery, None where it is
    not known.
    """

    rank: int
    identity: str
    score: float
    match: bool | None
    samples: tuple[RankedSample, ...]
    false_alarm_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of each stage in the service."""

    decode: float
    queue: float
    embed: float
    search: float
    total: float


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Who it is; `searched` is the number of samples that the filters left.

    `false_alarm_rate` is the share of strangers whom the threshold would take for somebody, None where it is not known.
    """

    query_id: str
    model_version: str
    gallery: str
    verdict: Literal["match", "unknown", "uncalibrated"]
    threshold: float | None
    false_match_rate: float | None
    identities: tuple[RankedIdentity, ...]
    searched: int
    timing_ms: Timing
    false_alarm_rate: float | None = None

    @property
    def best(self) -> RankedIdentity | None:
        """The first of the ranking, whether it is a match or not."""
        return self.identities[0] if self.identities else None


@dataclass(frozen=True, slots=True)
class Verification:
    """How alike two pictures are; `match` is None when there is no threshold."""

    score: float
    match: bool | None
    threshold: float | None
    false_match_rate: float | None
    model_version: str


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One embedding of unit length for each picture, in order."""

    model_version: str
    dim: int
    embeddings: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class EnrolledItem:
    """What became of one picture: `sample_id` unless it was rejected, and otherwise `error`."""

    index: int
    status: Literal["created", "duplicate", "rejected"]
    sample_id: str | None = None
    error: ItemError | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of each picture, in order."""

    created: int
    duplicates: int
    rejected: int
    items: tuple[EnrolledItem, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One enrolled picture."""

    sample_id: str
    gallery: str
    identity: str
    camera: str | None
    captured_at: datetime | None
    attributes: Mapping[str, Any]
    external_id: str | None
    sha256: str
    enrolled_at: datetime
    image_url: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """One person as the gallery knows them."""

    identity: str
    samples: int
    cameras: tuple[str, ...]
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; `next_cursor` is None on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed; `verified` was read back afterwards, `backups` still hold it."""

    samples_deleted: int
    images_deleted: int
    vectors_deleted: int
    verified: bool
    backups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gallery:
    """One gallery and its settings."""

    name: str
    retention_days: int | None
    store_images: bool
    samples: int
    identities: int


@dataclass(frozen=True, slots=True)
class Model:
    """One registered version with its card, which is JSON."""

    version: str
    active: bool
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Models:
    """Every registered version, and which is active."""

    active: str
    items: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class Migration:
    """How far a change of the active version is."""

    migration_id: str
    source: str
    target: str
    state: MigrationState
    done: int
    total: int
    left_out: int  # samples that could not be embedded again, of those done
    rate: float | None  # samples a second
    eta_s: float | None
    disk_bytes: int  # that the new vectors were estimated to take
    validation: Mapping[str, Any]  # what was compared before the switch, and its `problems`
    error: str | None
    created: datetime
    changed: datetime
