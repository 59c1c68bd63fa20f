"""Sample ids: ULIDs (https://github.com/ulid/spec), 26 characters that sort in the order of enrolment."""

import secrets
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LENGTH = 26
LEAST = "0" * _LENGTH
_RANDOM_BITS = 80


def following(last: str, milliseconds: int, count: int) -> list[str]:
    """Make `count` ids that sort after `last` and after each other, also when the clock stands or steps back."""
    fresh = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    start = max(fresh, decode(last) + 1)
    return [encode(start + step) for step in range(count)]


def encode(number: int) -> str:
    """Write a number of 128 bits as 26 characters."""
    return _head(number >> 20) + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]


def decode(ulid: str) -> int:
    """Read the number back."""
    number = 0
    for character in ulid:
        number = number << 5 | _VALUES[character]
    return number


@lru_cache(maxsize=1)
def _head(number: int) -> str:
    """Write the first 22 characters, which the ids of one enrolment mostly share."""
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH - 4)))
