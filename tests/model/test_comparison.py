from pathlib import Path

import pytest

from model.card import Card, read_card
from model.comparison import Row, compare, flatten
from tests.tiny_model import METRICS, write_version


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return read_card(write_version(tmp_path / "one") / "card.json")


def found(rows: tuple[Row, ...], name: str) -> Row:
    [row] = [row for row in rows if row.name == name]
    return row


def test_a_version_does_not_differ_from_itself(card: Card) -> None:
    rows = compare(card, card)
    assert not any(row.differs for row in rows)
    assert {row.difference for row in rows} == {None, 0.0}
    assert [*dict.fromkeys(row.section for row in rows)] == [
        "contract",
        "recipe",
        "data",
        "metrics",
        "thresholds",
        "parity",
        "files",
    ]


def test_figures_are_subtracted_and_settings_are_not(card: Card) -> None:
    other = card.model_copy(
        update={
            "metrics": (METRICS.model_copy(update={"mAP": 47.5}),),
            "recipe": {"optimiser": {"rate": 0.1}, "distillation": None},
            "seed": 7,
        }
    )
    rows = compare(card, other)
    assert found(rows, "fp32 mAP") == Row(
        "metrics", "fp32 mAP", "50", "47.5", -2.5, "none: made up for tests; test; 100 queries, 500 in the gallery"
    )
    assert found(rows, "seed") == Row("recipe", "seed", "0", "7")
    assert found(rows, "optimiser.rate") == Row("recipe", "optimiser.rate", "–", "0.1")
    assert found(rows, "distillation").second == "–"
    assert not found(rows, "fp32 rank1").differs


def test_figures_of_different_check_sets_share_no_row(card: Card) -> None:
    other = card.model_copy(update={"metrics": (METRICS.model_copy(update={"queries": 200}),)})
    rows = [row for row in compare(card, other) if row.name == "fp32 mAP"]
    assert [(row.first, row.second, row.difference) for row in rows] == [("50", "–", None), ("–", "50", None)]


def test_thresholds_and_files_are_by_name(card: Card) -> None:
    other = card.model_copy(update={"calibration": None, "files": {"model.int8.onnx": "0" * 64}})
    rows = compare(card, other)
    threshold = found(rows, "at a false match rate of 0.001")
    assert (threshold.first, threshold.second, threshold.differs) == ("0.95", "–", True)
    assert found(rows, "model.onnx").second == "–"
    assert found(rows, "model.int8.onnx").first == "–"


def test_settings_are_named_by_dots() -> None:
    assert flatten({"a": {"b": 1}, "c": [{"d": True}, None]}) == {"a.b": "1", "c.0.d": "True", "c.1": "–"}
