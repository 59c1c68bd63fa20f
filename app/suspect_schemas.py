"""A label audit's answer as OpenAPI describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas import RankedSampleAnswer, SampleAnswer

_SAMPLE_ID = "01KBQ4V7Y2N8W5T3R6M9XJ0ZCD"
_OTHER_ID = "01KBQ4V7Y2N8W5T3R6M9XJ0ZCE"
_RANKED: dict[str, Any] = {
    "sample_id": _OTHER_ID,
    "score": 0.79,
    "camera": "c3",
    "captured_at": None,
    "attributes": {},
    "image_url": f"/gallery/{_OTHER_ID}/image",
}
_SAMPLE: dict[str, Any] = {
    "sample_id": _SAMPLE_ID,
    "gallery": "default",
    "identity": "0005",
    "camera": "c1",
    "captured_at": None,
    "attributes": {},
    "external_id": None,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "enrolled_at": "2026-05-01T10:00:03.512Z",
    "image_url": f"/gallery/{_SAMPLE_ID}/image",
}
_EXAMPLE: dict[str, Any] = {
    "gallery": "default",
    "state": "done",
    "done": 31826,
    "total": 31826,
    "started": "2026-05-01T10:00:00Z",
    "finished": "2026-05-01T10:00:04Z",
    "detail": None,
    "model_version": "market1501@1",
    "samples": 15913,
    "identities": 751,
    "alone": 12,
    "threshold": 0.61,
    "by_chance": 281.6,
    "answered": 3,
    "found": 1,
    "items": [
        {
            "sample": _SAMPLE,
            "suggested": "0007",
            "own_score": 0.31,
            "suggested_score": 0.82,
            "margin": 0.51,
            "own_samples": [{**_RANKED, "score": 0.33}],
            "suggested_samples": [_RANKED],
        }
    ],
    "merges": [
        {
            "score": 0.74,
            "identities": [
                {"identity": "0021", "count": 4, "samples": [{**_SAMPLE, "identity": "0021"}]},
                {"identity": "walker", "count": 2, "samples": [{**_SAMPLE, "identity": "walker"}]},
            ],
        }
    ],
}


class SuspectAnswer(BaseModel):
    """A sample that looks more like another identity than like its own."""

    sample: SampleAnswer
    suggested: str = Field(description="the identity that it looks like")
    own_score: float = Field(description="cosine with the mean of its identity's other samples")
    suggested_score: float = Field(description="cosine with the mean of the suggested identity's samples")
    margin: float = Field(description="by how much the suggested identity is nearer")
    own_samples: list[RankedSampleAnswer] = Field(description="the samples of its identity that it is most alike")
    suggested_samples: list[RankedSampleAnswer]


class MergeSide(BaseModel):
    """One of two identities that may be one person."""

    identity: str
    count: int = Field(description="samples that it has")
    samples: list[SampleAnswer] = Field(description="some of them")


class MergeAnswer(BaseModel):
    """Two identities that may be one person."""

    score: float = Field(description="mean cosine of a sample of one and a sample of the other")
    identities: list[MergeSide] = Field(min_length=2, max_length=2)


class ForgottenAnswer(BaseModel):
    """What is asked about again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"gallery": "default", "forgotten": 3}]})
    gallery: str
    forgotten: int = Field(description="answers that held")


class SuspectsAnswer(BaseModel):
    """A gallery's latest label audit; of its findings, those that still hold."""

    model_config = ConfigDict(protected_namespaces=(), json_schema_extra={"examples": [_EXAMPLE]})
    gallery: str
    state: Literal["none", "running", "done", "failed"] = Field(
        description="`none`: nobody asked for one since the service was started or its version changed"
    )
    done: int
    total: int
    started: datetime | None
    finished: datetime | None
    detail: str | None = Field(description="why it failed")
    model_version: str | None
    samples: int
    identities: int
    alone: int = Field(description="samples that are their identity's only one: nothing can be said of their labels")
    threshold: float | None = Field(description="of the merges; null: not looked for, the version has none at 0.001")
    by_chance: float | None = Field(
        description="pairs of two people that reach the threshold by chance among so many identities with one sample "
        "each; fewer where they have more; null: the threshold was given as a score"
    )
    answered: int = Field(
        description="labels called right, and pairs called two people, that are not asked about again"
    )
    found: int = Field(description="suspects that the audit found, at most 1000")
    items: list[SuspectAnswer]
    merges: list[MergeAnswer]
