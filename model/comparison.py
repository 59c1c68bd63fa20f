"""Two versions side by side: what their cards say, row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from model.card import Card, Metrics

Section = Literal["contract", "recipe", "data", "metrics", "thresholds", "parity", "files"]
_ABSENT = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that a card says, of both versions; `difference` is the second less the first, of figures.

    `check_set` is what a metric was measured on.
    """

    section: Section
    name: str
    first: str
    second: str
    difference: float | None = None
    check_set: str = ""

    @property
    def differs(self) -> bool:
        """Whether the versions say different things."""
        return self.first != self.second


def compare(first: Card, second: Card) -> tuple[Row, ...]:
    """Return all rows in the order of the sections, those that are equal as well."""
    return (
        *_settings("contract", _contract(first), _contract(second)),
        *_settings("recipe", _recipe(first), _recipe(second)),
        *_settings("data", first.data.model_dump(), second.data.model_dump()),
        *_metrics(first, second),
        *_figures("thresholds", _thresholds(first), _thresholds(second)),
        *_figures("parity", _parity(first), _parity(second)),
        *_settings("files", dict(first.files), dict(second.files)),
    )


def flatten(content: object, prefix: str = "") -> dict[str, str]:
    """Return nested settings by their dotted names."""
    if isinstance(content, dict):
        items = [(str(name), value) for name, value in content.items()]
    elif isinstance(content, list | tuple):
        items = [(str(position), value) for position, value in enumerate(content)]
    else:
        return {prefix.removesuffix("."): _ABSENT if content is None else str(content)}
    return {name: value for key, inner in items for name, value in flatten(inner, f"{prefix}{key}.").items()}


def _contract(card: Card) -> dict[str, Any]:
    return {"input": card.input.model_dump(), "output": card.output.model_dump()}


def _recipe(card: Card) -> dict[str, Any]:
    """Return how it was trained; the loss is in the recipe as well, where there is one."""
    recipe = card.recipe or {"loss": card.loss}
    return {**recipe, "seed": card.seed, "commit": card.commit, "parent": card.parent or _ABSENT}


def _metrics(first: Card, second: Card) -> Iterator[Row]:
    """Yield the figures by what they were measured on: those of different check sets never share a row."""
    sets = [_by_check_set(card) for card in (first, second)]
    for check_set in _names(*sets):
        for row in _figures("metrics", *(each.get(check_set, {}) for each in sets)):
            yield replace(row, check_set=check_set)


def _by_check_set(card: Card) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in card.metrics:
        figures = {f"{row.precision} {name}": getattr(row, name) for name in ("mAP", "rank1", "mINP")}
        found.setdefault(_check_set(card, row), {}).update(figures)
    return found


def _check_set(card: Card, row: Metrics) -> str:
    return f"{card.data.source}: {row.protocol}; {row.queries} queries, {row.gallery} in the gallery"


def _thresholds(card: Card) -> dict[str, float]:
    if card.calibration is None:
        return {}
    rows = card.calibration.thresholds
    thresholds = {f"at a false match rate of {row.false_match_rate:g}": row.threshold for row in rows}
    found = {f"true matches at a false match rate of {row.false_match_rate:g}": row.true_match_rate for row in rows}
    return thresholds | found | {"equal error rate": card.calibration.equal_error_rate}


def _parity(card: Card) -> dict[str, float]:
    names = ("least_cosine", "mean_cosine", "mAP_difference")
    return {f"{row.precision}: {name}": getattr(row, name) for row in card.parity for name in names}


def _settings(section: Section, first: dict[str, Any], second: dict[str, Any]) -> Iterator[Row]:
    flat = flatten(first), flatten(second)
    for name in _names(*flat):
        yield Row(section, name, flat[0].get(name, _ABSENT), flat[1].get(name, _ABSENT))


def _figures(section: Section, first: dict[str, float], second: dict[str, float]) -> Iterator[Row]:
    for name in _names(first, second):
        both = name in first and name in second
        difference = round(second[name] - first[name], 6) if both else None
        yield Row(section, name, _figure(first.get(name)), _figure(second.get(name)), difference)


def _figure(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.6g}"


def _names(*sides: dict[str, Any]) -> Sequence[str]:
    """Return the names of all sides, each once, in the order in which they come."""
    return list(dict.fromkeys(name for side in sides for name in side))
