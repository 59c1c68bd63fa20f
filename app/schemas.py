"""The answers as OpenAPI describes them; the routes build plain dictionaries of the same shape."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.card import Card
from model.history import Promotion

_SAMPLE_ID = "01KBQ4V7Y2N8W5T3R6M9XJ0ZCD"
_TIME = "2026-05-01T10:00:00Z"
_VERSION = "market1501@1"


def _example(**values: Any) -> ConfigDict:  # noqa: ANN401 - an example is any JSON
    return ConfigDict(protected_namespaces=(), json_schema_extra={"examples": [values]})


_RANKED_SAMPLE: dict[str, Any] = {
    "sample_id": _SAMPLE_ID,
    "score": 0.8312471508979797,
    "camera": "c3",
    "captured_at": _TIME,
    "attributes": {},
    "image_url": f"/gallery/{_SAMPLE_ID}/image",
}
_RANKED_IDENTITY: dict[str, Any] = {
    "rank": 1,
    "identity": "0005",
    "score": 0.8312471508979797,
    "match": True,
    "false_alarm_rate": 0.001998001998001998,
    "samples": [_RANKED_SAMPLE],
}
_QUERY: dict[str, Any] = {
    "query_id": "01KBQ4VN3QZ6H8J2K4M7P9R0ST",
    "model_version": _VERSION,
    "gallery": "default",
    "verdict": "match",
    "threshold": 0.61,
    "false_match_rate": 0.001,
    "false_alarm_rate": 0.3146853146853147,
    "identities": [_RANKED_IDENTITY],
    "searched": 15913,
    "timing_ms": {"decode": 0.6, "queue": 0.2, "embed": 21.4, "search": 0.9, "total": 23.6},
}
_SAMPLE: dict[str, Any] = {
    "sample_id": _SAMPLE_ID,
    "gallery": "default",
    "identity": "0005",
    "camera": "c3",
    "captured_at": _TIME,
    "attributes": {"bag": True},
    "external_id": "frame-451",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "enrolled_at": "2026-05-01T10:00:03.512Z",
    "image_url": f"/gallery/{_SAMPLE_ID}/image",
}
_IDENTITY: dict[str, Any] = {
    "identity": "0005",
    "samples": 12,
    "cameras": ["c1", "c3"],
    "first_seen": _TIME,
    "last_seen": "2026-05-01T18:30:00Z",
}
_GALLERY: dict[str, Any] = {
    "name": "default",
    "retention_days": None,
    "store_images": True,
    "samples": 15913,
    "identities": 751,
}
_ERASED: dict[str, Any] = {
    "samples_deleted": 12,
    "images_deleted": 12,
    "vectors_deleted": 12,
    "verified": True,
    "backups": [],
}
_MIGRATION: dict[str, Any] = {
    "migration_id": "01KBQ4W0A1B2C3D4E5F6G7H8J9",
    "source": "market1501@1",
    "target": "market1501@2",
    "state": "running",
    "done": 120,
    "total": 15913,
    "left_out": 0,
    "rate": 52.6,
    "eta_s": 300.2,
    "disk_bytes": 79_565_000,
    "validation": {},
    "error": None,
    "created": _TIME,
    "changed": _TIME,
}


class ProblemAnswer(BaseModel):
    """An error, as RFC 9457 has it; `detail` says what was expected and what was found."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="stable name of the error")
    request_id: str
    field: str | None = Field(None, description="the field that is wrong, where it is one")


class ItemError(BaseModel):
    """Why one item of several failed."""

    code: str
    detail: str
    field: str | None = None


class RankedSampleAnswer(BaseModel):
    """One enrolled picture with its cosine similarity to the query."""

    model_config = _example(**_RANKED_SAMPLE)
    sample_id: str
    score: float = Field(ge=-1, le=1)
    camera: str | None
    captured_at: datetime | None
    attributes: dict[str, Any]
    image_url: str | None = Field(description="null when the gallery keeps no pictures")


class RankedIdentityAnswer(BaseModel):
    """One person; the score is the best sample's."""

    model_config = _example(**_RANKED_IDENTITY)
    rank: int
    identity: str
    score: float = Field(ge=-1, le=1)
    match: bool | None = Field(description="null when there is no threshold")
    false_alarm_rate: float | None = Field(
        gt=0, le=1, description="the share of strangers who would score as much with somebody here; null: not known"
    )
    samples: list[RankedSampleAnswer]


class TimingAnswer(BaseModel):
    """Milliseconds of each stage."""

    decode: float
    queue: float
    embed: float
    search: float
    total: float


class QueryAnswer(BaseModel):
    """Who it is."""

    model_config = _example(**_QUERY)
    query_id: str
    model_version: str
    gallery: str
    verdict: Literal["match", "unknown", "uncalibrated"] = Field(
        description="`match`: the best score reaches the threshold; `unknown`: none does, or nothing was searched; "
        "`uncalibrated`: there is no threshold. The active model has none, or none at the usual 0.001 for a query that "
        "names nothing else, or the gallery is too small for the `false_alarm_rate` that was given: it takes 20 "
        "identities, and for one in a hundred 99 samples"
    )
    threshold: float | None
    false_match_rate: float | None = Field(description="null when `threshold` or `false_alarm_rate` was given")
    false_alarm_rate: float | None = Field(
        gt=0,
        le=1,
        description="the share of strangers whom the threshold would take for somebody in this gallery: up to 1,000 of "
        "its samples are searched for with their own identity left out, and the one who asks is counted to them. Null "
        "while it has not been measured yet, and with fewer than 20 identities",
    )
    identities: list[RankedIdentityAnswer]
    searched: int = Field(description="samples left by the filters")
    timing_ms: TimingAnswer


class FailedQuery(BaseModel):
    """A picture of a batch that could not be used."""

    model_config = _example(error={"code": "image_truncated", "detail": "expected a whole JPEG, found its beginning"})
    error: ItemError


class BatchAnswer(BaseModel):
    """One result for each picture, in order."""

    model_config = _example(results=[_QUERY, {"error": {"code": "unsupported_media", "detail": "expected a JPEG"}}])
    results: list[QueryAnswer | FailedQuery]


class VerifyAnswer(BaseModel):
    """How alike two pictures are."""

    model_config = _example(score=0.72, match=True, threshold=0.61, false_match_rate=0.001, model_version=_VERSION)
    score: float = Field(ge=-1, le=1)
    match: bool | None
    threshold: float | None
    false_match_rate: float | None
    model_version: str


class EmbedAnswer(BaseModel):
    """One embedding of unit length for each picture, in order."""

    model_config = _example(model_version=_VERSION, dim=3, embeddings=[[0.6, 0.0, 0.8]])
    model_version: str
    dim: int
    embeddings: list[list[float]]


class EnrolledItem(BaseModel):
    """What became of one picture."""

    index: int
    status: Literal["created", "duplicate", "rejected"]
    sample_id: str | None = Field(None, description="not when it was rejected")
    error: ItemError | None = Field(None, description="only when it was rejected")


class EnrolAnswer(BaseModel):
    """What became of each picture; what is created or a duplicate is on disk and found by the very next query."""

    model_config = _example(
        created=1,
        duplicates=0,
        rejected=1,
        items=[
            {"index": 0, "status": "created", "sample_id": _SAMPLE_ID},
            {"index": 1, "status": "rejected", "error": {"code": "image_truncated", "detail": "…"}},
        ],
    )
    created: int
    duplicates: int
    rejected: int
    items: list[EnrolledItem]


class SampleAnswer(BaseModel):
    """One enrolled picture."""

    model_config = _example(**_SAMPLE)
    sample_id: str
    gallery: str
    identity: str
    camera: str | None
    captured_at: datetime | None
    attributes: dict[str, Any]
    external_id: str | None
    sha256: str = Field(description="of the picture's bytes")
    enrolled_at: datetime
    image_url: str | None


class SamplesAnswer(BaseModel):
    """One page of samples."""

    model_config = _example(items=[_SAMPLE], next_cursor=None)
    items: list[SampleAnswer]
    next_cursor: str | None = Field(description="null on the last page")


class IdentityAnswer(BaseModel):
    """One person as the gallery knows them."""

    model_config = _example(**_IDENTITY)
    identity: str
    samples: int
    cameras: list[str]
    first_seen: datetime | None
    last_seen: datetime | None


class IdentitiesAnswer(BaseModel):
    """One page of people."""

    model_config = _example(items=[_IDENTITY], next_cursor=None)
    items: list[IdentityAnswer]
    next_cursor: str | None = Field(description="null on the last page")


class ErasedAnswer(BaseModel):
    """What was removed; `verified` was read back afterwards. Where it is false, `reid gallery rebuild` is to be run."""

    model_config = _example(**_ERASED)
    samples_deleted: int
    images_deleted: int = Field(description="files really removed; one that another person or gallery also has stays")
    vectors_deleted: int
    verified: bool
    backups: list[str] = Field(description="backups that still hold it")


class GalleryAnswer(BaseModel):
    """One gallery and its settings."""

    model_config = _example(**_GALLERY)
    name: str
    retention_days: int | None
    store_images: bool
    samples: int
    identities: int


class GalleriesAnswer(BaseModel):
    """Every gallery."""

    model_config = _example(items=[_GALLERY])
    items: list[GalleryAnswer]


class ModelAnswer(BaseModel):
    """One registered version with its card, and when it went live by whose word."""

    version: str
    active: bool
    card: Card
    promotions: list[Promotion]


class ModelsAnswer(BaseModel):
    """Every registered version, and which is active."""

    active: str
    items: list[ModelAnswer]


class SettingAnswer(BaseModel):
    """One environment variable; null: not set."""

    name: str
    value: str | int | float | list[str] | None
    expected: str


class SettingsAnswer(BaseModel):
    """What the service is set to, and what no setting changes."""

    model_config = _example(
        settings=[{"name": "REID_MAX_QUEUE", "value": 512, "expected": "a number of pictures from 1 to 100000"}],
        limits={"file_bytes": 10_000_000, "request_bytes": 64_000_000, "picture_pixels": 40_000_000},
    )
    settings: list[SettingAnswer]
    limits: dict[str, int]


class MigrationStarted(BaseModel):
    """Where to follow the change."""

    model_config = _example(migration_id=_MIGRATION["migration_id"])
    migration_id: str


class MigrationAnswer(BaseModel):
    """How far a change of the active version is."""

    model_config = _example(**_MIGRATION)
    migration_id: str
    source: str
    target: str
    state: Literal["planned", "running", "validating", "switched", "finalized", "cancelled", "rolled_back", "failed"]
    done: int
    total: int
    left_out: int = Field(description="samples that could not be embedded again; they are among those done")
    rate: float | None = Field(description="samples a second, lately")
    eta_s: float | None
    disk_bytes: int = Field(description="that the new vectors were estimated to take before it began")
    validation: dict[str, Any] = Field(description="what was compared before the switch, and its `problems`")
    error: str | None = Field(description="why it failed")
    created: datetime
    changed: datetime


class MigrationsAnswer(BaseModel):
    """The latest changes, the newest first."""

    model_config = _example(items=[_MIGRATION])
    items: list[MigrationAnswer]


class HealthAnswer(BaseModel):
    """All is well."""

    model_config = _example(status="ok")
    status: Literal["ok"]
