"""`reid models recalibrate`: thresholds from a gallery's own people, without training."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.card import show_open_set
from app.cli.data_folder import settings_here
from app.cli.options import Json
from app.cli.progress import bar
from app.cli.tables import print_table, table
from app.cli.words import count
from app.engine import open_engine
from app.open_set import Searched, search
from app.recalibration import Choice, Measured, measure, measure_reference, register, require_new
from app.suspects import GalleryAudit
from index.gallery import GalleryStore
from model.calibration import USUAL_RATE, decides_usually
from model.card import Calibration

_WITHOUT = (
    "samples that the model itself gets wrong may be among those left out: true matches are then fewer than shown"
)
_LABELS = "wrong labels spoil thresholds: run reid gallery suspects first, or give --without-suspects"


def recalibrate(
    version: Annotated[
        str | None, typer.Option("--as", metavar="NAME@N", help="Register the thresholds as this new version.")
    ] = None,
    gallery: Annotated[str, typer.Option(help="Which gallery.")] = "default",
    without_suspects: Annotated[
        bool, typer.Option("--without-suspects", help="Leave out samples that look like another identity.")
    ] = False,
    any_camera: Annotated[
        bool,
        typer.Option(
            "--any-camera",
            help="Also count pairs of one person on one camera, and samples without one.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the people of a large gallery.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure the serving version's thresholds on a gallery's own people; without --as they are only shown.

    A false match rate is of pairs. How many strangers such a threshold lets through depends on how many people are
    enrolled, and is measured with the gallery as large as it is. Versions never change: the new one has the same model
    files, and a card with what was measured; what drift is told beside is then what this gallery is like now.
    """
    with open_engine(settings_here()) as engine:
        source = engine.gallery.model_version
        if version is not None:
            require_new(engine.registry, version)
        suspects = _suspects(engine.gallery, gallery) if without_suspects else frozenset()
        found = measure(engine.gallery, Choice(gallery, any_camera, suspects, seed), source)
        asked = search(engine.gallery, found.drawn, source)
        before = engine.registry.card(source).calibration
        if version is not None:
            reference = measure_reference(engine.gallery, found.drawn, engine.model.embedder.contract)
            register(engine.registry, source, version, found.calibration, reference, asked.open_set())
    if as_json:
        typer.echo(json.dumps({"source": source, "version": version, **_told(found, asked)}))
    else:
        _print(found, asked, before)
        typer.echo(f"{_WITHOUT if without_suspects else _LABELS}\n{_next(version, found.calibration)}")


def _suspects(store: GalleryStore, gallery: str) -> frozenset[str]:
    with bar("Looking for wrong labels") as progress:
        return frozenset(each.sample_id for each in GalleryAudit(store, gallery).run(None, progress).suspects)


def _told(found: Measured, asked: Searched) -> dict[str, Any]:
    open_set = asked.open_set()
    return {
        "calibration": found.calibration.model_dump(mode="json"),
        "samples": found.samples,
        "without_camera": found.without_camera,
        "suspects": found.suspects,
        "missing": [asdict(short) for short in found.missing],
        "strangers_let_through": [asked.let_through(each.threshold) for each in found.calibration.thresholds],
        "open_set": None if open_set is None else open_set.model_dump(mode="json"),
    }


def _print(found: Measured, asked: Searched, before: Calibration | None) -> None:
    old = {} if before is None else {each.false_match_rate: each.threshold for each in before.thresholds}
    rows = table("false match rate", "threshold", "95 % interval", "true matches", "before", "strangers")
    for each in found.calibration.thresholds:
        was = old.get(each.false_match_rate)
        interval = f"{each.low:.3f} to {each.high:.3f}"
        shown = (f"{each.threshold:.3f}", interval, f"{100 * each.true_match_rate:.1f} %")
        through = f"{100 * asked.let_through(each.threshold):.1f} %"
        rows.add_row(f"{each.false_match_rate:g}", *shown, "–" if was is None else f"{was:.3f}", through)
    print_table(rows)
    typer.echo(f"strangers: of {len(asked.strangers)}, those taken for one of {asked.enrolled} people enrolled")
    for short in found.missing:
        typer.echo(
            f"no threshold at {short.false_match_rate:g}: expected {short.needed} pairs of different people, "
            f"found {short.found}; enrol more"
        )
    typer.echo(found.calibration.protocol)
    for part in show_open_set(asked.open_set()):
        print_table(part)
    if found.without_camera:
        left_out = count(found.without_camera, "sample")
        typer.echo(f"left out: {left_out} without a camera, which --any-camera takes")


def _next(version: str | None, calibration: Calibration) -> str:
    if version is None:
        return "nothing was registered; --as NAME@N does it"
    if not decides_usually(calibration):
        return (
            f"registered {version}, which gives no verdict to a query that names no false match rate: the usual one is "
            f"{USUAL_RATE:g}; reid models activate {version} takes --force"
        )
    return f"registered {version}; activate it with: reid models activate {version}"
