from pathlib import Path

import pytest

from model.card import Baseline, Card, Metrics, Parity, read_card
from model.errors import PromotionRefused, VersionNotFound
from model.promotion import approve, check_promotion, reasons_against, shared_check_sets
from model.registry import Registry
from tests.tiny_model import CALIBRATION, METRICS, write_version

TEST, HELD_OUT = "single query; test", "single query; held-out"


def row(mAP: float, protocol: str = TEST, **more: object) -> Metrics:
    return METRICS.model_copy(update={"protocol": protocol, "mAP": mAP, **more})


@pytest.fixture
def active(tmp_path: Path) -> Card:
    return read_card(write_version(tmp_path / "one") / "card.json").model_copy(update={"metrics": (row(50.0),)})


@pytest.fixture
def candidate(active: Card) -> Card:
    return active.model_copy(update={"version": "tiny@2", "metrics": (row(52.0),)})


def changed(card: Card, **more: object) -> Card:
    return card.model_copy(update=more)


def test_a_better_version_passes(candidate: Card, active: Card) -> None:
    assert reasons_against(candidate, active) == ()


def test_mAP_may_fall_by_the_margin_and_no_more(candidate: Card, active: Card) -> None:  # noqa: N802
    assert reasons_against(changed(candidate, metrics=(row(49.0),)), active) == ()
    [reason] = reasons_against(changed(candidate, metrics=(row(48.9),)), active)
    assert reason.startswith("mAP: 1.10 points below tiny@1's (48.90 fp32, before 50.00 fp32), where at most 1 are")
    assert reasons_against(changed(candidate, metrics=(row(48.9),)), active, margin=2.0) == ()
    assert len(reasons_against(changed(candidate, metrics=(row(49.9),)), active, margin=0.0)) == 1


def test_everything_that_is_missing_is_told_at_once(candidate: Card, active: Card) -> None:
    bare = changed(candidate, parity=(), calibration=None, metrics=())
    told = [reason.partition(":")[0] for reason in reasons_against(bare, active)]
    assert told == ["parity of fp32", "calibration", "metrics"]


@pytest.mark.parametrize(("rates", "passes"), [((0.01,), False), ((0.0001,), False), ((0.01, 0.0001), True)])
def test_a_query_that_names_no_rate_must_get_a_verdict(
    candidate: Card, active: Card, rates: tuple[float, ...], passes: bool
) -> None:
    kept = tuple(each for each in CALIBRATION.thresholds if each.false_match_rate in rates)
    calibration = CALIBRATION.model_copy(update={"thresholds": kept})
    reasons = reasons_against(changed(candidate, calibration=calibration), active)
    assert (reasons == ()) is passes
    assert passes or reasons[0].startswith(
        f"calibration: no threshold at the usual false match rate of 0.001, only at {rates[0]:g}"
    )


@pytest.mark.parametrize(
    ("precision", "least", "passes"),
    [("fp32", 0.9999, True), ("fp32", 0.9998, False), ("int8", 0.90, True), ("int8", 0.89, False)],
)
def test_parity_is_held_to_its_precisions_tolerance(
    candidate: Card, active: Card, precision: str, least: float, passes: bool
) -> None:
    [whole] = candidate.parity
    parity = Parity.model_validate(whole.model_dump() | {"precision": precision, "least_cosine": least})
    name = "model.onnx" if precision == "fp32" else "model.int8.onnx"
    reasons = reasons_against(changed(candidate, parity=(parity,), files={name: "0" * 64}), active)
    assert (reasons == ()) is passes
    assert passes or "least cosine" in reasons[0]


def test_each_file_needs_its_parity(candidate: Card, active: Card) -> None:
    both = changed(candidate, files={"model.onnx": "0" * 64, "model.int8.onnx": "0" * 64})
    [reason] = reasons_against(both, active)
    assert reason.startswith("parity of int8: missing")


@pytest.mark.parametrize(
    "other",
    [
        row(99.0, protocol="multi query; test"),
        row(99.0, queries=101),
        row(99.0, gallery=501),
    ],
)
def test_figures_of_another_check_set_are_not_compared(candidate: Card, active: Card, other: Metrics) -> None:
    [reason] = reasons_against(changed(candidate, metrics=(other,)), active)
    assert "cannot be compared with tiny@1's" in reason
    assert "reid export --baseline tiny@1" in reason


def test_figures_on_other_data_are_not_compared(candidate: Card, active: Card) -> None:
    [reason] = reasons_against(changed_data(candidate, name="shop/train"), active)
    assert "cannot be compared" in reason


def changed_data(card: Card, **more: object) -> Card:
    return changed(card, data=card.data.model_copy(update=more))


def test_held_out_figures_are_of_one_check_set_where_the_training_files_are_the_same(
    candidate: Card, active: Card
) -> None:
    held = changed(active, metrics=(row(50.0, HELD_OUT),))
    mine = changed(candidate, metrics=(row(50.0, HELD_OUT),))
    assert reasons_against(mine, held) == ()
    [reason] = reasons_against(changed_data(mine, file_list_sha256="1" * 64), held)
    assert "cannot be compared" in reason


def test_what_the_export_measured_beside_it_decides(candidate: Card, active: Card) -> None:
    elsewhere = changed_data(candidate, name="shop/train")
    beside = Baseline(version="tiny@1", metrics=(row(60.0),))
    [reason] = reasons_against(changed(elsewhere, baseline=beside), active)
    assert "8.00 points below tiny@1's (52.00 fp32, before 60.00 fp32)" in reason
    better = Baseline(version="tiny@1", metrics=(row(40.0),))
    assert reasons_against(changed(elsewhere, baseline=better), active) == ()
    stranger = Baseline(version="tiny@9", metrics=(row(40.0),))
    [reason] = reasons_against(changed(elsewhere, baseline=stranger), active)
    assert "cannot be compared" in reason


def test_the_largest_check_set_decides_unless_one_is_chosen(candidate: Card, active: Card) -> None:
    before = changed(active, metrics=(row(90.0, HELD_OUT, queries=10), row(50.0, queries=100)))
    after = changed(candidate, metrics=(row(70.0, HELD_OUT, queries=10), row(51.0, queries=100)))
    assert reasons_against(after, before) == ()
    assert reasons_against(after, before, check_set="test") == ()
    [reason] = reasons_against(after, before, check_set="held-out")
    assert "20.00 points below" in reason
    [reason] = reasons_against(after, before, check_set="multi query")
    assert "one check set with 'multi query' in its protocol" in reason


def test_each_is_compared_as_it_is_served(candidate: Card, active: Card) -> None:
    before = changed(
        active,
        metrics=(row(60.0), row(50.0, precision="int8")),
        files={"model.int8.onnx": "0" * 64},
    )
    [shared] = shared_check_sets(changed(candidate, metrics=(row(52.0), row(70.0, precision="int8"))), before)
    assert (shared.candidate.precision, shared.candidate.mAP) == ("fp32", 52.0)
    assert (shared.active.precision, shared.active.mAP) == ("int8", 50.0)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "models", tmp_path / "bundled")
    for number in (1, 2, 3):
        registry.import_version(write_version(tmp_path / f"v{number}", number=number, calibrated=number != 3))
    registry.activate("tiny@1")
    return registry


def test_nothing_is_asked_where_nothing_is_active(registry: Registry) -> None:
    assert check_promotion(registry, "tiny@3", None) == ()
    assert check_promotion(registry, "tiny@3", "tiny@3") == ()
    assert len(check_promotion(registry, "tiny@3", "tiny@1")) == 1
    with pytest.raises(VersionNotFound):
        check_promotion(registry, "tiny@9", None)


def test_a_lost_active_version_needs_force(registry: Registry) -> None:
    (registry.root / "tiny" / "1" / "card.json").unlink()
    [reason] = check_promotion(registry, "tiny@2", "tiny@1")
    assert reason.startswith("the card of the active version cannot be read: tiny@1: ")


def test_refusal_lists_all_reasons_and_the_way_out(registry: Registry) -> None:
    with pytest.raises(
        PromotionRefused, match=r"tiny@3 should not go live in place of tiny@1: 1\) calibra.*--force"
    ) as told:
        approve(registry, "tiny@3", "tiny@1", force=False, by="somebody")
    assert told.value.reasons == check_promotion(registry, "tiny@3", "tiny@1")
    assert registry.promotions() == ()


def test_what_was_forced_is_recorded_with_who_when_and_why(registry: Registry) -> None:
    for target, current, force in (("tiny@2", "tiny@1", False), ("tiny@3", "tiny@2", True), ("tiny@1", "tiny@3", True)):
        registry.record_promotion(approve(registry, target, current, force=force, by="key 01ABC"))
    again = Registry(registry.root, registry.bundled)
    assert [(each.version, each.replaced, each.forced) for each in again.promotions()] == [
        ("tiny@2", "tiny@1", False),
        ("tiny@3", "tiny@2", True),
        ("tiny@1", "tiny@3", False),  # force where nothing speaks against it forces nothing
    ]
    [forced] = again.promotions("tiny@3")
    assert forced.by == "key 01ABC"
    assert forced.reasons[0].startswith("calibration: missing")
    assert forced.at.utcoffset() is not None
