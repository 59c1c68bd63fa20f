"""A model version's card as people read it."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.tables import table
from app.cli.words import count
from model.card import Calibration, Card, Metrics, OpenSet
from model.history import Promotion


def show_card(card: Card, active: str, promotions: Sequence[Promotion], console: Console) -> None:
    """Print what a version is, what it is worth and when it went live; the recipe and the histograms are left out."""
    facts = table("version", f"{card.version}, the active one" if card.version == active else card.version)
    for name, value in _facts(card):
        facts.add_row(name, Text(value))
    console.print(facts)
    figures, thresholds = _figures(card.metrics), _thresholds(card.calibration)
    for section in (figures, thresholds, show_open_set(card.open_set), _promotions(promotions)):
        if parts := list(section):
            console.print("", *parts, sep="\n")


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    data = card.data
    yield "created", f"{card.created:%Y-%m-%d %H:%M}"
    yield "input", f"{card.input.height}×{card.input.width} {card.input.color}, {card.input.dtype}"
    yield "output", f"{card.output.dim} numbers, of unit length"
    cameras = f" by {count(data.cameras, 'camera')}" if data.cameras else ""  # 0: of a data set without them
    yield "trained on", f"{data.name}: {data.images} pictures of {data.identities} people{cameras}"
    if card.parent is not None:
        yield "began from", card.parent
    yield "commit", card.commit
    yield "files", ", ".join(card.files)
    yield "terms", card.terms if data.terms in card.terms else f"{card.terms} {data.terms}"


def _figures(metrics: Sequence[Metrics]) -> Iterator[Table | Text]:
    if not metrics:
        return
    numbers = ("rank-1", "rank-5", "rank-10", "mAP", "mINP", "queries", "gallery")
    rows = table("figures in percent", "precision", *numbers, whole=("precision", *numbers))
    for each in metrics:
        shares = (each.rank1, each.rank5, each.rank10, each.mAP, each.mINP)
        counts = (str(each.queries), str(each.gallery))
        rows.add_row(Text(_measured_on(each)), each.precision, *(f"{share:.1f}" for share in shares), *counts)
    yield rows
    for protocol in dict.fromkeys(each.protocol.partition("; ")[0] for each in metrics):
        yield Text(f"by {protocol}")


def _measured_on(row: Metrics) -> str:
    """Return what follows a protocol's first part: that tells rows apart, and the first is the same for all."""
    first, _, rest = row.protocol.partition("; ")
    return rest or first


def _thresholds(calibration: Calibration | None) -> Iterator[Table | Text]:
    if calibration is None:
        yield Text("no calibration: it ranks, and decides nothing unless a threshold is given")
        return
    rows = table("false match rate", "threshold", "95 % interval", "true match rate")
    for each in calibration.thresholds:
        interval = f"{each.low:.3f} to {each.high:.3f}"
        rows.add_row(f"{each.false_match_rate:g}", f"{each.threshold:.3f}", interval, f"{each.true_match_rate:.1%}")
    yield rows
    yield Text(f"by {calibration.protocol}")


def show_open_set(found: OpenSet | None) -> Iterator[Table | Text]:
    """Yield who of strangers and known people is found; of one division there is no deviation."""
    if found is None:
        return
    rows = table("strangers taken for somebody", "threshold", "known people found")
    for each in found.rates:
        deviation = f" ± {each.deviation:.1%}" if found.divisions > 1 else ""
        rows.add_row(f"{each.false_alarm_rate:.1%}", f"{each.threshold:.3f}", f"{each.detection_rate:.1%}{deviation}")
    yield rows
    yield Text(f"with {count(found.enrolled, 'person', 'people')} enrolled, by {found.protocol}")


def _promotions(promotions: Sequence[Promotion]) -> Iterator[Table]:
    if not promotions:
        return
    rows = table("went live", "by", "in place of", "in spite of", whole=("went live",))
    for each in promotions:
        overruled = "; ".join(each.reasons) or "–"
        rows.add_row(f"{each.at:%Y-%m-%d %H:%M}", *map(Text, (each.by, each.replaced or "–", overruled)))
    yield rows
