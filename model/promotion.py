"""The promotion gate: what speaks against a version going live in place of the active one."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.calibration import USUAL_RATE, decides_usually
from model.card import Card, Metrics, Precision, created_now
from model.errors import PromotionRefused, RegistryError
from model.history import Promotion
from model.parity import shortfalls
from model.registry import Registry

MARGIN = 1.0  # percentage points of mAP that a version may lose


@dataclass(frozen=True, slots=True)
class CheckSet:
    """One check set that both versions were measured on, and their rows in the precision that each is served in."""

    protocol: str
    candidate: Metrics
    active: Metrics


def check_promotion(
    registry: Registry, target: str, current: str | None, *, margin: float = MARGIN, check_set: str | None = None
) -> tuple[str, ...]:
    """Return what speaks against `target` going live in place of `current`; nothing where none is active.

    Raises `VersionNotFound` and `VersionDamaged` for a target that cannot be read.
    """
    candidate = registry.card(target)
    if current is None or current == target:
        return ()
    try:
        active = registry.card(current)
    except RegistryError as exc:
        return (*incomplete(candidate), f"the card of the active version cannot be read: {exc}")
    return reasons_against(candidate, active, margin=margin, check_set=check_set)


def approve(
    registry: Registry,
    target: str,
    current: str | None,
    *,
    force: bool,
    by: str,
    margin: float = MARGIN,
    check_set: str | None = None,
) -> Promotion:
    """Return the record of a promotion, to be given to `Registry.record_promotion` as the version goes live.

    Raises `PromotionRefused` with all reasons, unless it is forced.
    """
    reasons = check_promotion(registry, target, current, margin=margin, check_set=check_set)
    if reasons and not force:
        raise PromotionRefused(target, current or "none", reasons)
    return Promotion(version=target, replaced=current, at=created_now(), by=by, forced=bool(reasons), reasons=reasons)


def reasons_against(
    candidate: Card, active: Card, *, margin: float = MARGIN, check_set: str | None = None
) -> tuple[str, ...]:
    """Return what speaks against the candidate: what its card lacks, and what it is worse at than the active one.

    `check_set` is a part of a protocol's name, such as `test`; without it the check set with most queries decides.
    """
    return (*incomplete(candidate), *_losses(candidate, active, margin, check_set))


def incomplete(card: Card) -> Iterator[str]:
    """Yield what a card lacks of parity, calibration and metrics, and which parity is out of tolerance."""
    measured = {parity.precision: parity for parity in card.parity}
    for precision in card.precisions:
        if precision in measured:
            yield from (f"parity of {line}" for line in shortfalls(measured[precision]))
        else:
            yield f"parity of {precision}: missing, so nothing says that the file computes what was trained"
    if card.calibration is None:
        yield "calibration: missing, so the version has no thresholds and every verdict would be uncalibrated"
    elif not decides_usually(card.calibration):
        rates = ", ".join(f"{each.false_match_rate:g}" for each in card.calibration.thresholds)
        yield (
            f"calibration: no threshold at the usual false match rate of {USUAL_RATE:g}, only at {rates}, so a query "
            "that names no rate would get no verdict"
        )
    if not card.metrics:
        yield "metrics: missing, so nothing says what the version is worth"


def shared_check_sets(candidate: Card, active: Card) -> list[CheckSet]:
    """Return the check sets that both were measured on, the one with most queries first.

    The active version's figures are those that the candidate's own export measured on its data, else its own card's.
    """
    beside = candidate.baseline
    own = beside is None or beside.version != active.version
    theirs = active.metrics if own else beside.metrics  # type: ignore[union-attr]
    found: dict[str, CheckSet] = {}
    for mine in _as_served(candidate, candidate.metrics):
        for other in _as_served(active, theirs):
            if _set_of(mine) == _set_of(other) and (not own or _same_data(mine, candidate, active)):
                found.setdefault(mine.protocol, CheckSet(mine.protocol, mine, other))
    return sorted(found.values(), key=lambda each: -each.candidate.queries)


def _losses(candidate: Card, active: Card, margin: float, check_set: str | None) -> Iterator[str]:
    if not candidate.metrics:
        return
    shared = [each for each in shared_check_sets(candidate, active) if check_set is None or check_set in each.protocol]
    if not shared:
        yield _incomparable(candidate, active, check_set)
        return
    rows = shared[0].candidate, shared[0].active
    fall = rows[1].mAP - rows[0].mAP
    if not fall <= margin:
        yield (
            f"mAP: {fall:.2f} points below {active.version}'s ({rows[0].mAP:.2f} {rows[0].precision}, before "
            f"{rows[1].mAP:.2f} {rows[1].precision}), where at most {margin:g} are allowed, on {shared[0].protocol!r}, "
            f"{rows[0].queries} queries"
        )


def _incomparable(candidate: Card, active: Card, check_set: str | None) -> str:
    wanted = "" if check_set is None else f" with {check_set!r} in its protocol"
    return (
        f"mAP: cannot be compared with {active.version}'s: expected figures of both on one check set{wanted} (the same "
        f"protocol, data and counts), found none; `reid export --baseline {active.version}` measures both on "
        f"{candidate.version}'s data, `reid models diff {active.version} {candidate.version}` shows what there is"
    )


def _as_served(card: Card, rows: tuple[Metrics, ...]) -> list[Metrics]:
    """Return the rows, those in the precision that is served first."""
    order: list[Precision | str] = [*card.precisions, "int8", "fp32", "torch"]
    return sorted(rows, key=lambda row: order.index(row.precision))


def _set_of(row: Metrics) -> tuple[str, int, int, int]:
    return row.protocol, row.queries, row.skipped, row.gallery


def _same_data(row: Metrics, candidate: Card, active: Card) -> bool:
    """Tell whether two cards speak of the same pictures: held-out people are those that a list of files left out."""
    if row.protocol.endswith("; held-out"):
        return candidate.data.file_list_sha256 == active.data.file_list_sha256
    return candidate.data.source == active.data.source
