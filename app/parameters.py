"""What clients may ask for: each field with its range, shared by form, JSON and query string."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from index.errors import InvalidValue
from index.records import SampleFilter
from index.values import ATTRIBUTES_BYTES, ATTRIBUTES_DEPTH, NAME_LENGTH, name
from model.calibration import USUAL_RATE

SHOWN_FINDINGS = 50
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def parse_time(value: object) -> datetime:
    """Return an RFC 3339 time in UTC; a time without an offset is refused."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("expected an RFC 3339 time with an offset such as 2026-05-01T10:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"expected a time that exists: {exc}") from exc


def check_attributes(value: dict[str, Any]) -> dict[str, Any]:
    """Return attributes that can be stored and sent back as JSON; refuse what is too large or too deep."""
    try:
        size = len(orjson.dumps(value))
    except TypeError as exc:
        raise ValueError(f"expected values that JSON can hold: {exc}") from exc
    if size > ATTRIBUTES_BYTES:
        raise ValueError(f"expected at most {ATTRIBUTES_BYTES} bytes of JSON, found {size}")
    if (depth := _depth(value)) > ATTRIBUTES_DEPTH:
        raise ValueError(f"expected at most {ATTRIBUTES_DEPTH} levels, found {depth}")
    return value


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def check_name(value: str, info: ValidationInfo) -> str:
    """Return a name in Unicode NFC; refuse one that the gallery would not take."""
    try:
        return name(info.field_name or "name", value)
    except InvalidValue as exc:
        raise ValueError(str(exc)) from exc


Time = Annotated[datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Attributes = Annotated[dict[str, Any], AfterValidator(check_attributes)]
_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"}
Name = Annotated[str, AfterValidator(check_name), WithJsonSchema(_NAME_SCHEMA)]
GalleryName = Annotated[str, Field(min_length=1, max_length=256, description="which gallery")]


class Parameters(BaseModel):
    """Base of every set of fields: unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class InGallery(Parameters):
    """The gallery alone, as a query parameter."""

    gallery: GalleryName = "default"


class PageParameters(InGallery):
    """One page of a listing."""

    limit: int = Field(100, ge=1, le=1000, description="most items of one page")
    cursor: str | None = Field(None, min_length=1, max_length=2048, description="the `next_cursor` of the page before")


class SamplePage(PageParameters):
    """One page of the samples that pass the filters."""

    identity: Name | None = Field(None, description="samples of this person")
    camera: list[Name] = Field([], max_length=256, description="samples of these cameras; repeatable")
    captured_after: Time | None = Field(None, description="taken at this time or later")
    captured_before: Time | None = Field(None, description="taken before this time")

    def where(self) -> SampleFilter:
        """Return the filter for the gallery."""
        return SampleFilter(
            cameras=frozenset(self.camera),
            captured_after=self.captured_after,
            captured_before=self.captured_before,
            identity=self.identity,
        )


class Decision(Parameters):
    """Where the line between a match and none is drawn."""

    false_match_rate: float = Field(
        USUAL_RATE,
        gt=0,
        lt=1,
        description="picks the model's calibrated threshold: the share of comparisons of two different people's "
        "pictures that reach it. A query makes one with each sample: the more are enrolled, the more strangers match",
    )
    threshold: float | None = Field(None, ge=-1, le=1, description="overrides any rate")


class QueryParameters(Decision, InGallery):
    """The fields of a query that do not say who is sought."""

    false_alarm_rate: float | None = Field(
        None,
        ge=0.001,  # one of the most that are searched for, and of the one who asks
        lt=1,
        description="overrides `false_match_rate`: draws the line where no more than this share of strangers would be "
        "taken for somebody in this gallery, which is searched for its own people as if they were not in it. Without "
        "filters; of single pictures. Such a measurement may be waited for, for some seconds in a large gallery",
    )
    top_k: int = Field(10, ge=1, le=1000, description="identities returned")
    samples_per_identity: int = Field(3, ge=0, le=100, description="best samples shown under each")
    camera: list[Name] = Field([], max_length=256, description="keep samples of these cameras; repeatable")
    exclude_camera: list[Name] = Field([], max_length=256, description="drop samples of these cameras; repeatable")
    captured_after: Time | None = Field(None, description="keep samples taken at this time or later")
    captured_before: Time | None = Field(None, description="keep samples taken before this time")
    attributes: Attributes = Field(
        default_factory=dict, description="a JSON object; keep samples whose attributes equal all of it"
    )
    rerank: bool = Field(False, description="k-reciprocal re-ranking of the shortlist; reorders, scores stay cosines")

    @property
    def deciding_alarm_rate(self) -> float | None:
        """The false alarm rate that draws the line, or None where something else does."""
        return self.false_alarm_rate if self.threshold is None else None

    def where(self, exclude_sample: str | None = None) -> SampleFilter:
        """Return the filter for the gallery."""
        return SampleFilter(
            cameras=frozenset(self.camera),
            exclude_cameras=frozenset(self.exclude_camera),
            captured_after=self.captured_after,
            captured_before=self.captured_before,
            attributes=self.attributes,
            exclude_sample=exclude_sample,
        )


class AuditParameters(Decision, InGallery):
    """Which gallery is audited; the threshold is the mean score from which on two identities may be one person."""


class FindingsPage(InGallery):
    """How much of an audit's findings is shown."""

    limit: int = Field(SHOWN_FINDINGS, ge=1, le=200, description="most findings of either kind, the worst first")


SampleId = Annotated[str, Field(min_length=1, max_length=64)]


class RightLabel(Parameters):
    """A sample whose label is right, however it looks."""

    sample_id: SampleId


class TwoPeople(Parameters):
    """Two identities that are two people, however alike they are."""

    identities: tuple[Name, Name]


class QueryForm(QueryParameters):
    """The fields of a query by form; `image` files come beside them."""

    sample_id: SampleId | None = Field(None, description="search with this enrolled sample, not with a file")


class QueryBody(QueryForm):
    """The fields of a query by JSON."""

    embedding: list[float] | None = Field(
        None, min_length=1, max_length=8192, description="search with this embedding; its length is normalised"
    )
    model_version: str | None = Field(
        None, min_length=1, max_length=128, description="the version that made `embedding`"
    )


class NewSampleFields(Parameters):
    """What is told of one picture when it is enrolled."""

    identity: Name = Field(description="whose picture it is")
    camera: Name | None = Field(None, description="which camera took it")
    captured_at: Time | None = Field(None, description="when it was taken")
    attributes: Attributes = Field(default_factory=dict, description="anything else, as a JSON object")
    external_id: Name | None = Field(None, description="your own name for this picture, unique in the gallery")


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]  # it stands for a field that was not given, and is refused where it is


class SampleChanges(Parameters):
    """The fields of a sample that may be replaced; null clears (not `identity`)."""

    identity: Name = Field("", description="whose picture it is", json_schema_extra=_without_default)
    camera: Name | None = Field(None, description="which camera took it")
    captured_at: Time | None = Field(None, description="when it was taken")
    attributes: Attributes | None = Field(None, description="anything else, as a JSON object")


class NewName(Parameters):
    """The name that a person gets."""

    identity: Name = Field(description="the new name")


class GallerySettings(Parameters):
    """What a gallery keeps, and for how long."""

    retention_days: int | None = Field(
        None, ge=1, le=36_500, description="samples older than this are deleted; null: never"
    )
    store_images: bool = Field(True, description="whether pictures are kept beside their embeddings")
