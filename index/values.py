"""What a value must be to enter the gallery, and the form in which the catalogue keeps it."""

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from index.errors import DimensionMismatch, InvalidValue
from index.records import Embedding

NAME_LENGTH = 256
ATTRIBUTES_BYTES = 16_384
ATTRIBUTES_DEPTH = 32
UNIT_TOLERANCE = 1e-4  # how far an embedding's length may be from 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CHANGEABLE = ("identity", "camera", "captured_at", "attributes")
_GALLERY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def name(field: str, value: object) -> str:
    """Normalise an identity, a camera or an `external_id` to NFC; raise `InvalidValue` when it is none."""
    if not isinstance(value, str):
        raise InvalidValue(field, f"expected {field} to be a string, found {type(value).__name__}")
    normal = unicodedata.normalize("NFC", value)
    if not 1 <= len(normal) <= NAME_LENGTH:
        raise InvalidValue(field, f"expected {field} of 1 to {NAME_LENGTH} characters, found {len(normal)}")
    for character in "" if normal.isascii() and normal.isprintable() else normal:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidValue(field, f"expected {field} without control characters, found U+{ord(character):04X}")
    return normal


def optional_name(field: str, value: object) -> str | None:
    """Like `name`, and None stays None."""
    return None if value is None else name(field, value)


def gallery_name(value: str) -> str:
    """Check the name of a gallery that is to be made."""
    if not _GALLERY.fullmatch(value):
        raise InvalidValue(
            "name", "expected a gallery's name of 1 to 64 letters, digits, dots, dashes and underscores, "
            "starting with a letter or a digit"
        )  # fmt: skip
    return value


def microseconds(field: str, value: object) -> int | None:
    """Turn a time with an offset to UTC microseconds."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidValue(field, f"expected {field} to be a time, found {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidValue(field, f"expected {field} with an offset (such as Z or +02:00), found a naive time")
    since = (value - _EPOCH) // _MICROSECOND
    try:
        moment(since)
    except OverflowError as exc:
        raise InvalidValue(field, f"expected {field} between the years 1 and 9999 in UTC") from exc
    return since


def moment(since: int) -> datetime:
    """Turn UTC microseconds to a time."""
    return _EPOCH + timedelta(microseconds=since)


def attributes(value: object) -> str:
    """Turn a sample's attributes to JSON text; raise `InvalidValue` when they are no JSON object."""
    if not isinstance(value, Mapping):
        raise InvalidValue("attributes", f"expected attributes to be an object, found {type(value).__name__}")
    if not value:
        return "{}"
    _canonical(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
    if len(text.encode()) > ATTRIBUTES_BYTES:
        raise InvalidValue(
            "attributes", f"expected attributes of at most {ATTRIBUTES_BYTES} bytes of JSON, found {len(text.encode())}"
        )
    return text


def changes(given: Mapping[str, object]) -> dict[str, object]:
    """Bring the changes of a sample to the catalogue's form."""
    columns: dict[str, object] = {}
    for field, value in given.items():
        if field == "identity":
            columns[field] = name(field, value)
        elif field == "camera":
            columns[field] = optional_name(field, value)
        elif field == "captured_at":
            columns[field] = microseconds(field, value)
        elif field == "attributes":
            columns[field] = attributes({} if value is None else value)
        else:
            raise InvalidValue(field, f"expected one of {', '.join(_CHANGEABLE)}, found {field!r}")
    return columns


def pairs(gallery: int, value: Mapping[str, Any]) -> list[bytes]:
    """Hash each attribute, so that two pairs are the same hash exactly when they are equal as JSON."""
    return [_pair(gallery, key, part) for key, part in value.items()]


def embedding(field: str, value: ArrayLike, dim: int) -> Embedding:
    """Check one embedding, (D,) float32, finite and of unit length."""
    vector = np.asarray(value, dtype=np.float32)
    if vector.shape != (dim,):
        raise DimensionMismatch(f"expected an embedding of {dim} numbers, found the shape {vector.shape}")
    wide = vector.astype(np.float64)
    length = math.sqrt(wide @ wide)
    if not math.isfinite(length):
        raise InvalidValue(field, "expected an embedding of finite numbers, found NaN or infinity")
    if abs(length - 1.0) > UNIT_TOLERANCE:
        raise InvalidValue(field, f"expected an embedding of length 1, found {length:.4f}: divide it by its length")
    return vector


def _pair(gallery: int, key: str, value: object) -> bytes:
    text = json.dumps([gallery, key, _canonical(value)], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:16]


def _canonical(value: object, depth: int = 0) -> object:
    """Bring equal JSON values to one form: 1.0 is 1, True is not; raise `InvalidValue` for what is no JSON."""
    if depth > ATTRIBUTES_DEPTH:
        raise InvalidValue("attributes", f"expected attributes nested at most {ATTRIBUTES_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_text(key): _canonical(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(part, depth + 1) for part in value]
    raise InvalidValue("attributes", f"expected JSON values in attributes, found {type(value).__name__}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("attributes", f"expected the keys of attributes to be strings, found {type(value).__name__}")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise InvalidValue("attributes", "expected Unicode text in attributes, found half of a surrogate pair")
    return value


def _number(value: float) -> float:
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise InvalidValue("attributes", "expected integers of at most 64 bits in attributes")
        return value
    if not math.isfinite(value):
        raise InvalidValue("attributes", "expected finite numbers in attributes, found NaN or infinity")
    return int(value) if value.is_integer() else value
