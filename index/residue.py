"""Look for deleted bytes in files: run as a program, for it must not share the process with the database.

A process that opens and closes a SQLite file drops the locks that its own connections hold on it
(https://www.sqlite.org/howtocorrupt.html, 2.2), so the store reads its file back from another process.
"""

import json
import mmap
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 960  # bytes of a vector that lie together on a database page, whatever its length
_FRAGMENT = 8
_SIZES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (6, 8))  # SQLite's types of integers, and the bytes that each has
_BLOCK = 1 << 24
_LIKELY = 1 << 20  # more would not lie in a core's cache
_SECONDS = 600
_AT_ONCE = 100_000  # needles of one pass over the files: all of them lie in memory


def needle(vector: bytes) -> tuple[bytes, int] | None:
    """Choose what of a vector to look for, and where in it the least common eight bytes are."""
    window = vector[:WINDOW]
    if len(window) < _FRAGMENT:
        return None
    place = 4 * int(np.abs(np.frombuffer(window, dtype=np.float32)).argmax())
    place = min(place, len(window) - _FRAGMENT)
    return (window, place) if any(window[place : place + _FRAGMENT]) else None


def cells(gallery: int, number: int, text: str) -> list[tuple[bytes, int]]:
    """Choose what of a name or an external id to look for: its place in a table of names, and in an index.

    The text alone is rightly a part of other texts, and may be the same in other galleries. So what lies before it
    comes with it: the types, one of which says its length, and its gallery; no more, for a copy may be partly
    overwritten, unless that is fewer than eight bytes. A name of one or two letters cannot be told from chance and
    is not looked for. The format: https://www.sqlite.org/fileformat2.html, 1.6 and 2.1.
    """
    (owner_type, owner), (row_type, row) = _integer(gallery), _integer(number)
    content = text.encode()
    types = owner_type + _varint(2 * len(content) + 13)
    found: list[tuple[bytes, int]] = []
    # in a table the row's own number is NULL and comes first, in an index it comes last
    for before, known, after in ((b"\0", types, b""), (b"", types + row_type, row)):
        header = bytes([1 + len(before + known)]) + before
        size = _varint(len(header + known + owner + content + after))
        least = max(_FRAGMENT, len(known + owner + content))
        wanted = (size + header + known + owner + content)[-least:]
        if len(wanted) >= _FRAGMENT:
            found.append((wanted, len(wanted) - _FRAGMENT))
    return found


def _integer(value: int) -> tuple[bytes, bytes]:
    """Return the type and the bytes of an integer in SQLite's records; 0 and 1 are types of their own."""
    if value in (0, 1):
        return bytes([8 + value]), b""
    kind, size = next((kind, size) for kind, size in _SIZES if value < 1 << (8 * size - 1))
    return bytes([kind]), value.to_bytes(size, "big")


def _varint(value: int) -> bytes:
    """Return an integer in seven bits a byte, the most significant first."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def find(files: Sequence[Path], needles: Sequence[tuple[bytes, int]]) -> set[int]:
    """Return the indices of the needles that are found in any of the files, by another process, some in each pass."""
    found: set[int] = set()
    for start in range(0, len(needles), _AT_ONCE):
        found |= {start + index for index in _pass(files, needles[start : start + _AT_ONCE])}
    return found


def _pass(files: Sequence[Path], needles: Sequence[tuple[bytes, int]]) -> list[int]:
    request = {"files": [str(file) for file in files], "needles": [(len(text), place) for text, place in needles]}
    done = subprocess.run(  # noqa: S603  # this file, by this interpreter
        [sys.executable, "-I", __file__],
        input=b"".join((json.dumps(request).encode(), b"\n", *(text for text, _ in needles))),
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    )
    return list(json.loads(done.stdout))


def scan(file: Path, needles: Sequence[tuple[bytes, int]]) -> set[int]:
    """Return the indices of the needles, all different, that are in a file, in one pass for all of them."""
    if not needles or not file.exists() or file.stat().st_size == 0:
        return set()
    # by the fragment, then by place and length, for thousands of texts may end alike
    by_fragment: dict[bytes, dict[tuple[int, int], dict[bytes, int]]] = {}
    for index, (text, place) in enumerate(needles):
        alike = by_fragment.setdefault(text[place : place + _FRAGMENT], {})
        alike.setdefault((place, len(text)), {})[text] = index
    fragments = np.sort(np.frombuffer(b"".join(by_fragment), dtype="<u8"))
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found: set[int] = set()
        for position in _candidates(content, fragments):
            for (place, length), texts in by_fragment[content[position : position + _FRAGMENT]].items():
                start = position - place
                if start >= 0 and (text := content[start : start + length]) in texts:
                    found.add(texts[text])
        return found


def _candidates(content: mmap.mmap, fragments: NDArray[Any]) -> list[int]:
    """Return every position at which one of the fragments lies."""
    likely = np.zeros(_LIKELY, dtype=np.bool_)  # by a fragment's first bits: most positions end here
    likely[fragments & (_LIKELY - 1)] = True
    found: list[int] = []
    for start in range(0, len(content), _BLOCK):
        block = content[start : start + _BLOCK + _FRAGMENT - 1]
        for shift in range(min(_FRAGMENT, len(block) - _FRAGMENT + 1)):
            words = np.frombuffer(block, dtype="<u8", offset=shift, count=(len(block) - shift) // _FRAGMENT)
            places = np.flatnonzero(likely[words & (_LIKELY - 1)])
            hits = places[np.isin(words[places], fragments)]
            found += (start + shift + _FRAGMENT * hits).tolist()
    return found


def main() -> None:
    """Answer one request from standard input."""
    request = json.loads(sys.stdin.buffer.readline())
    needles = [(sys.stdin.buffer.read(size), place) for size, place in request["needles"]]
    found: set[int] = set()
    for file in request["files"]:
        found |= scan(Path(file), needles)
    sys.stdout.write(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
