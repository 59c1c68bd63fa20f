"""The JSON of what the gallery gives; plain dictionaries, because a query's answer is built on the hot path."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.verdict import Line
from index.migration import Migration
from index.records import Erased, GalleryInfo, IdentitySummary, RankedIdentity, RankedSample, Sample

JSON = "application/json"


def json_response(content: object, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(orjson.dumps(content), status, media_type=JSON)


class StreamedJson(StreamingResponse):
    """An answer in JSON of which no more than a piece is held."""

    media_type = JSON

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Send piece by piece; whether the client is still there, the connection tells."""
        await self.stream_response(send)


def time_text(value: datetime | None) -> str | None:
    """Return a time in RFC 3339, in UTC."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def image_url(sample: Sample) -> str | None:
    """Return where the sample's picture is, or None when it was not kept."""
    if not sample.picture_stored:
        return None
    where = "" if sample.gallery == "default" else f"?gallery={quote(sample.gallery, safe='')}"
    return f"/gallery/{sample.sample_id}/image{where}"


def sample_answer(sample: Sample) -> dict[str, Any]:
    """Return all of a sample."""
    return {
        "sample_id": sample.sample_id,
        "gallery": sample.gallery,
        "identity": sample.identity,
        "camera": sample.camera,
        "captured_at": time_text(sample.captured_at),
        "attributes": sample.attributes,
        "external_id": sample.external_id,
        "sha256": sample.digest,
        "enrolled_at": time_text(sample.enrolled_at),
        "image_url": image_url(sample),
    }


def ranked_identity(rank: int, found: RankedIdentity, line: Line) -> dict[str, Any]:
    """Return one person of a query's answer."""
    score = cosine(found.score)
    return {
        "rank": rank,
        "identity": found.identity,
        "score": score,
        "match": line.matches(score),
        "false_alarm_rate": line.false_alarm_rate(score),
        "samples": [ranked_sample(each) for each in found.samples],
    }


def ranked_sample(found: RankedSample) -> dict[str, Any]:
    """Return one sample with its score."""
    sample = found.sample
    return {
        "sample_id": sample.sample_id,
        "score": cosine(found.score),
        "camera": sample.camera,
        "captured_at": time_text(sample.captured_at),
        "attributes": sample.attributes,
        "image_url": image_url(sample),
    }


def cosine(score: float) -> float:
    """Return the score as a cosine: rounding may carry a float32 product of unit vectors past 1."""
    return max(-1.0, min(1.0, float(score)))


def identity_answer(summary: IdentitySummary) -> dict[str, Any]:
    """Return one person as the gallery knows them."""
    return {
        "identity": summary.identity,
        "samples": summary.samples,
        "cameras": summary.cameras,
        "first_seen": time_text(summary.first_seen),
        "last_seen": time_text(summary.last_seen),
    }


def gallery_answer(info: GalleryInfo) -> dict[str, Any]:
    """Return one gallery with its settings."""
    return {
        "name": info.name,
        "retention_days": info.retention_days,
        "store_images": info.store_images,
        "samples": info.samples,
        "identities": info.identities,
    }


def erased_answer(erased: Erased) -> dict[str, Any]:
    """Return what an erasure removed."""
    return {
        "samples_deleted": erased.samples_deleted,
        "images_deleted": erased.images_deleted,
        "vectors_deleted": erased.vectors_deleted,
        "verified": erased.verified,
        "backups": erased.backups,
    }


def migration_answer(migration: Migration) -> dict[str, Any]:
    """Return a migration's progress."""
    return {
        "migration_id": migration.migration_id,
        "source": migration.source,
        "target": migration.target,
        "state": migration.state,
        "done": migration.done,
        "total": migration.total,
        "left_out": migration.left_out,
        "rate": migration.rate,
        "eta_s": migration.eta_s,
        "disk_bytes": migration.disk_bytes,
        "validation": migration.validation,
        "error": migration.error,
        "created": time_text(migration.created_at),
        "changed": time_text(migration.changed_at),
    }
