import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from model import card as card_module
from model.card import (
    SCHEMA_VERSION,
    Card,
    Histogram,
    InputContract,
    OutputContract,
    Reference,
    created_now,
    read_card,
    write_card,
)
from model.errors import RegistryError
from tests.tiny_model import write_version

REFERENCE: dict[str, object] = {"measure": "score", "low": 0.0, "high": 1.0, "counts": [1, 2]}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return read_card(write_version(tmp_path / "made", name="market1501-r50", number=12) / "card.json")


def test_a_card_is_read_as_it_was_written(card: Card, tmp_path: Path) -> None:
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card


def test_a_card_from_before_the_open_set_is_read(card: Card, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card.model_dump_json(exclude={"open_set"}))
    assert read_card(tmp_path / "card.json") == card


def test_a_card_with_a_reference_is_read_as_it_was_written(card: Card, tmp_path: Path) -> None:
    reference = Reference(protocol="made up", measures=(Histogram.model_validate(REFERENCE),))
    write_card(card.model_copy(update={"reference": reference}), tmp_path / "card.json")
    assert read_card(tmp_path / "card.json").reference == reference
    assert card.reference is None


def test_a_card_of_an_older_schema_is_upgraded_on_reading_and_left_as_it_is(card: Card, tmp_path: Path) -> None:
    content = card.model_dump(mode="json", exclude={"parent", "baseline", "reference"}) | {"schema_version": 1}
    text = json.dumps(content)
    (tmp_path / "card.json").write_text(text)
    assert read_card(tmp_path / "card.json") == card
    assert (tmp_path / "card.json").read_text() == text


def test_a_card_of_a_newer_schema_says_what_to_do(card: Card, tmp_path: Path) -> None:
    content = card.model_dump(mode="json") | {"schema_version": SCHEMA_VERSION + 1, "what_comes": "later"}
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(RegistryError, match=r"has schema 3 and this release reads up to 2: install a newer hap2s-reid"):
        read_card(tmp_path / "card.json")


def test_every_older_schema_has_its_upgrade() -> None:
    assert len(card_module._UPGRADES) == SCHEMA_VERSION - 1


def test_a_figure_that_is_no_number_is_refused(card: Card, tmp_path: Path) -> None:
    content = card.model_dump(mode="json")
    content["metrics"][0]["mAP"] = float("nan")
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(RegistryError, match=r"metrics\.0\.mAP: .*finite"):
        read_card(tmp_path / "card.json")


def test_a_card_is_text_for_people(card: Card, tmp_path: Path) -> None:
    write_card(card, tmp_path / "card.json")
    lines = (tmp_path / "card.json").read_text().splitlines()
    assert '  "version": "market1501-r50@12",' in lines


def test_a_version_is_a_name_and_a_number(card: Card) -> None:
    assert (card.name, card.number) == ("market1501-r50", 12)


@pytest.mark.parametrize("version", ["", "x", "x@", "x@0", "x@01", "X@1", "../x@1", "x/y@1", "x@1\n", "-x@1", "x@1@2"])
def test_other_versions_are_refused(card: Card, version: str) -> None:
    with pytest.raises(ValidationError, match="version"):
        Card.model_validate(card.model_dump() | {"version": version})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 3}, "version"),
        ({"created": "2026-01-01T00:00:00"}, "created: .*timezone"),
        ({"input": {"height": 0, "width": 16}}, "input.height"),
        ({"output": {"dim": -1}}, "output.dim"),
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"schema_version": 0}, "expected a schema_version from 1, found 0"),
        ({"schema_version": "2"}, "expected a schema_version from 1, found '2'"),
        ({"schema_version": None}, "expected a schema_version from 1, found None"),
        (
            {"files": {"../model.onnx": "0" * 64}},
            "files.*expected a file name such as model.onnx, found '../model.onnx'",
        ),
        ({"reference": {"protocol": "p", "measures": [REFERENCE, REFERENCE]}}, "reference: .*one histogram of each"),
        ({"reference": {"protocol": "p", "measures": []}}, "reference.measures"),
        ({"reference": {"protocol": "p", "measures": [REFERENCE | {"high": 0}]}}, "reference.measures.0: .*from low"),
        (
            {"reference": {"protocol": "p", "measures": [REFERENCE | {"counts": [0, 0]}]}},
            "reference.measures.0: .*counts",
        ),
        (
            {"reference": {"protocol": "p", "measures": [REFERENCE | {"counts": [1, -1]}]}},
            "reference.measures.0.counts.1",
        ),
        ({"reference": {"protocol": "p", "measures": [REFERENCE | {"measure": "x"}]}}, "reference.measures.0.measure"),
        ({"files": {"card.json": "0" * 64}}, "files.*expected a file name"),
        ({"files": {"model.onnx": "abc"}}, "files.model.onnx: .*pattern"),
    ],
)
def test_what_is_wrong_in_a_card_is_named(card: Card, tmp_path: Path, change: dict[str, object], told: str) -> None:
    (tmp_path / "card.json").write_text(json.dumps(card.model_dump(mode="json") | change))
    with pytest.raises(RegistryError, match=rf"card\.json is not a model card: {told}"):
        read_card(tmp_path / "card.json")


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"\xff\xfe", b'"card"'])
def test_what_is_no_card_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "card.json").write_bytes(data)
    with pytest.raises(RegistryError, match=r"card\.json is not a model card"):
        read_card(tmp_path / "card.json")


def test_a_missing_card_is_told_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"expected a model card at card\.json") as caught:
        read_card(tmp_path / "card.json")
    assert str(tmp_path) not in str(caught.value)


def test_contracts_are_fixed_but_for_their_sizes() -> None:
    with pytest.raises(ValidationError):
        InputContract.model_validate({"height": 1, "width": 1, "layout": "NCHW"})
    with pytest.raises(ValidationError):
        OutputContract.model_validate({"dim": 1, "normalised": False})


def test_the_time_of_creation_is_utc() -> None:
    assert created_now().utcoffset() == timedelta(0)
    assert created_now().microsecond == 0
