"""The values that go into a gallery and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Embedding: TypeAlias = NDArray[np.float32]  # (D,) or (N, D), unit length
Storage: TypeAlias = Literal["float32", "float16"]  # of embeddings in memory
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewSample:
    """One picture of one person, ready to be enrolled."""

    identity: str
    embedding: Embedding  # (D,)
    picture: bytes  # as the client sent it
    camera: str | None = None
    captured_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    others: Mapping[str, Embedding] = field(default_factory=dict)  # by further versions, while galleries move to one


# Not frozen, nor are `RankedSample` and `RankedIdentity`: an answer has many, and a frozen one takes five times as
# long to make.
@dataclass(slots=True)
class Sample:
    """One enrolled picture."""

    sample_id: str
    gallery: str
    identity: str
    camera: str | None
    captured_at: datetime | None
    attributes: Mapping[str, Any]
    external_id: str | None
    digest: str  # sha256 of the picture's bytes
    picture_stored: bool
    enrolled_at: datetime


class EnrolStatus(StrEnum):
    """What became of one item of an enrolment."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The outcome for one item; `error` is set when it was rejected."""

    status: EnrolStatus
    sample_id: str | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples a query may return; the default is all of them.

    The time window is half-open, `[captured_after, captured_before)`. A sample without a camera or a time
    passes no `cameras` or time filter, and passes `exclude_cameras`.
    """

    cameras: frozenset[str] = frozenset()  # empty: any
    exclude_cameras: frozenset[str] = frozenset()
    captured_after: datetime | None = None
    captured_before: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    identity: str | None = None
    exclude_sample: str | None = None  # a sample id


@dataclass(slots=True)
class RankedSample:
    """One enrolled picture with its cosine similarity to the query."""

    sample: Sample
    score: float


@dataclass(slots=True)
class RankedIdentity:
    """One person with the score of the best sample, and the best samples, best first."""

    identity: str
    score: float
    samples: tuple[RankedSample, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to a query: identities by score, and how many samples the filters left."""

    identities: tuple[RankedIdentity, ...]
    searched: int
    best: RankedIdentity | None = None  # of the highest score; whoever reorders or cuts the identities leaves it
    enrolled: int = 0  # samples in the gallery, before the filters


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A ranking with the embeddings that it compared, of the same moment."""

    ranking: Ranking
    embeddings: Embedding  # (N, D), of all its samples, in its order


@dataclass(frozen=True, slots=True)
class IdentitySummary:
    """One person as the gallery knows them."""

    identity: str
    samples: int
    cameras: tuple[str, ...]
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """One gallery and its settings."""

    name: str
    retention_days: int | None
    store_images: bool
    samples: int
    identities: int


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """How one gallery is searched."""

    gallery: str
    samples: int
    engine: Literal["exact", "codes"]  # every sample is compared, or those that codes choose
    recall: float  # of the ten best identities, as it was measured on the gallery's own samples
    candidates: int  # samples that a query is compared with
    bytes_per_sample: int  # of memory


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed; `verified` was read back from the store afterwards."""

    samples_deleted: int
    images_deleted: int
    vectors_deleted: int
    verified: bool
    backups: tuple[str, ...] = ()  # names of backups that still hold it


class Action(StrEnum):
    """What the audit log tells of."""

    DELETE_SAMPLE = "delete_sample"
    ERASE_IDENTITY = "erase_identity"
    DELETE_GALLERY = "delete_gallery"
    EXPIRE = "expire"
    RESTORE = "restore"
    CREATE_KEY = "create_key"
    REVOKE_KEY = "revoke_key"
    LEAVE_OUT = "leave_out"  # samples that could not be embedded with the version that the galleries moved to
    START_MIGRATION = "start_migration"
    SWITCH_VERSION = "switch_version"  # the migration is at its target, which serves from then on
    CANCEL_MIGRATION = "cancel_migration"
    ROLL_BACK_MIGRATION = "roll_back_migration"
    FINALIZE_MIGRATION = "finalize_migration"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    A restore and a migration are of no single gallery, and a key of one only where it is bound.
    """

    number: int
    at: datetime
    actor: str | None  # the id of the key that asked for it, of a migration who did; None: the command line, or nobody
    action: Action
    gallery_number: int | None
    gallery: str | None
    samples: int
    pictures: int | None  # None: the process ended before it could count them
    vectors: int
    verified: bool | None  # None: not read back
    key_id: str | None = None  # the key that was made or revoked
    migration_id: str | None = None  # the migration that was begun, switched or ended
    source: str | None = None  # the version that it moves from
    target: str | None = None  # and that to


@dataclass(frozen=True, slots=True)
class BackedUp:
    """One backup that was made, and what was removed for it."""

    name: str
    samples: int
    identities: int
    pictures: int
    copied: int  # pictures that no earlier backup had
    left_out: int  # samples that were erased while it was made
    pruned: tuple[str, ...]  # names of the backups that `keep` removed


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check()` looked at, and what it found wrong: one line each of the first `problems`, of how many in all."""

    samples: int
    pictures: int
    vectors: int
    orphans: int  # pictures that no sample uses, such as a crash leaves: no problem, `rebuild` removes them
    problems: tuple[str, ...]
    problems_in_all: int

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return self.problems_in_all == 0


@dataclass(frozen=True, slots=True)
class Restored:
    """One backup that was restored, and what the store then found when it looked at itself."""

    name: str
    model_version: str
    report: CheckReport
