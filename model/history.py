"""What went live when, and by whose word: one line of JSON for each time a version took another's place.

Cards never change, so this lies beside the version folders. Only activations through the promotion gate are in it.
"""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from model.card import VERSION_PATTERN
from model.errors import RegistryError

HISTORY = "promotions.jsonl"


class Promotion(BaseModel):
    """One version taking another's place; `reasons` is what spoke against it and was overruled."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = Field(pattern=VERSION_PATTERN)
    replaced: str | None = Field(None, pattern=VERSION_PATTERN)
    at: AwareDatetime
    by: str = Field(max_length=256, description="a key's id, or who ran the command")
    forced: bool
    reasons: tuple[str, ...] = ()


def read_history(path: Path) -> tuple[Promotion, ...]:
    """Return all promotions, the oldest first; raise `RegistryError` when the file is damaged."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise RegistryError(f"{HISTORY} of the registry cannot be read: {exc.strerror}") from exc
    try:
        return tuple(Promotion.model_validate_json(line) for line in lines)
    except ValidationError as exc:
        raise RegistryError(
            f"{HISTORY} of the registry is damaged: mend or remove it; versions and galleries do not need it"
        ) from exc


def appended(path: Path, promotion: Promotion) -> bytes:
    """Return what the file holds with one promotion more."""
    before = path.read_bytes() if path.exists() else b""
    return before + promotion.model_dump_json().encode() + b"\n"
