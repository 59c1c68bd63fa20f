"""Counts as people read them."""


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 sample` or `2 samples`; `many` where the plural is not one with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
