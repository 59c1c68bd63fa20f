"""Pictures as callers have them: bytes, or the path of a file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Picture: TypeAlias = bytes | str | os.PathLike[str]
Pictures: TypeAlias = Picture | Sequence[Picture]


def read_picture(picture: Picture) -> bytes:
    """Return a picture's bytes; a text is a path."""
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


def each_of(pictures: Pictures) -> Sequence[Picture]:
    """Return one picture as a sequence of one."""
    return [pictures] if isinstance(pictures, bytes | str | os.PathLike) else pictures
