"""What is to be enrolled, made ready for sending, and what became of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from reid_client.pictures import Picture
from reid_client.records import ItemError

MB = 1_000_000
MAX_FILE = 10 * MB


@dataclass(frozen=True, slots=True)
class NewSample:
    """One picture (bytes, or a file's path) and what is known of it; a time needs its offset."""

    picture: Picture
    identity: str
    camera: str | None = None
    captured_at: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None

    @property
    def name(self) -> str:
        """What messages call it: the file's path, or the caller's own name for it."""
        return self.external_id or "bytes" if isinstance(self.picture, bytes) else str(self.picture)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sample; `index` is its place among those given, from 0."""

    index: int
    name: str
    status: Literal["created", "duplicate", "rejected"]
    sample_id: str | None = None
    error: ItemError | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A sample as it is sent: the bytes, and the JSON of the rest."""

    index: int
    name: str
    data: bytes
    entry: str

    @property
    def text_size(self) -> int:
        """Bytes of the entry in the request."""
        return len(self.entry.encode()) + 1


def prepare(index: int, sample: NewSample) -> Ready | Outcome:
    """Read the picture; what cannot be sent, or would be refused for its size, is rejected here and alone."""
    try:
        entry = _entry(sample)
    except (TypeError, ValueError, RecursionError) as exc:
        return rejected(index, sample.name, "invalid_metadata", f"expected values that JSON can hold: {exc}")
    try:
        data = _read(sample.picture)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        return rejected(index, sample.name, "file_unreadable", f"expected a picture file: {exc}")
    if len(data) > MAX_FILE:
        return rejected(index, sample.name, "file_too_large", f"expected at most {MAX_FILE} bytes, found more")
    return Ready(index, sample.name, data, entry)


def rejected(index: int, name: str, code: str, detail: str) -> Outcome:
    """Return the outcome of a sample that was not taken."""
    return Outcome(index, name, "rejected", error=ItemError(code, detail))


def _read(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    path = Path(picture)
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a plain file")
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _entry(sample: NewSample) -> str:
    told: dict[str, Any] = {"identity": sample.identity}
    for name in ("camera", "captured_at", "external_id"):
        value = getattr(sample, name)
        if value is not None:
            told[name] = value.isoformat() if isinstance(value, datetime) else value
    if sample.attributes:
        told["attributes"] = dict(sample.attributes)
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    text.encode()  # half a surrogate pair would spoil the whole request's JSON
    return text
