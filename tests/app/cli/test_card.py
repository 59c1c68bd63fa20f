import io

import pytest
from rich.console import Console

from app.cli.card import show_card
from model.card import Card
from model.registry import BUNDLED, Registry


@pytest.fixture(scope="module")
def card() -> Card:
    """The bundled version's card: it has every part."""
    registry = Registry(BUNDLED)
    return registry.card(registry.versions()[0])


def shown(card: Card, width: int = 160) -> list[str]:
    """Return the lines that a card is shown as, each with one space between its words."""
    out = io.StringIO()
    show_card(card, card.version, (), Console(file=out, width=width))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_it_tells_what_a_version_is_and_is_worth(card: Card) -> None:
    lines = shown(card)
    assert lines[0] == f"version {card.version}, the active one"
    assert f"input {card.input.height}×{card.input.width} RGB, uint8" in lines
    assert f"terms {card.terms}" in lines
    for row in card.metrics:
        on = row.protocol.partition("; ")[2]
        assert any(line.startswith(f"{on} {row.precision} {row.rank1:.1f} ") for line in lines)
    assert card.calibration is not None
    for each in card.calibration.thresholds:
        assert any(line.startswith(f"{each.false_match_rate:g} {each.threshold:.3f} ") for line in lines)
    assert card.open_set is not None
    for rate in card.open_set.rates:
        assert any(line.startswith(f"{rate.false_alarm_rate:.1%} {rate.threshold:.3f} ") for line in lines)


def test_no_figure_is_cut_short_at_80_characters(card: Card) -> None:
    lines = shown(card, 80)
    assert "…" not in "".join(lines)
    assert any(f"{card.metrics[0].mAP:.1f}" in line for line in lines)


def test_what_a_card_has_not_is_not_shown(card: Card) -> None:
    bare = card.model_copy(update={"metrics": (), "calibration": None, "open_set": None})
    assert shown(bare)[-1] == "no calibration: it ranks, and decides nothing unless a threshold is given"
    assert not any("figures" in line or "strangers" in line for line in shown(bare))
