"""`reid gallery suspects`: likely wrong labels of a gallery."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from app.cli.data_folder import settings_here
from app.cli.options import Json
from app.cli.progress import bar
from app.cli.tables import print_table, table
from app.cli.words import count
from app.engine import open_engine
from app.parameters import Decision
from app.suspects import Findings, GalleryAudit
from app.verdict import draw_line
from model.calibration import USUAL_RATE


def suspects(
    gallery: Annotated[str, typer.Option(help="Which gallery.")] = "default",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Findings of either kind at most.")] = 50,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Mean score from which on two identities may be one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List samples that look more like another identity than like their own, and identities that may be one person.

    The console shows them with pictures and lets you act on them. Nothing is changed here.
    """
    with open_engine(settings_here()) as engine, bar("Looking") as progress:
        calibration = engine.registry.card(engine.gallery.model_version).calibration
        line = draw_line(calibration, Decision(threshold=threshold))
        found = GalleryAudit(engine.gallery, gallery).run(line.threshold, progress, line.false_match_rate)
    if as_json:
        shown = asdict(found)
        suspected, merges = shown["suspects"], shown["merges"]
        typer.echo(json.dumps({**shown, "suspects": suspected[:limit], "merges": merges[:limit]}))
    else:
        _print(found, limit)


def _print(found: Findings, limit: int) -> None:
    if found.suspects:
        rows = table("sample", "identity", "looks like", "own score", "its score", whole=("sample",))
        for each in found.suspects[:limit]:
            scores = (f"{each.own_score:.3f}", f"{each.suggested_score:.3f}")
            rows.add_row(*map(Text, (each.sample_id, each.identity, each.suggested, *scores)))
        print_table(rows)
    if found.merges:
        rows = table("identity", "may be", "mean score")
        for pair in found.merges[:limit]:
            rows.add_row(*map(Text, (pair.first, pair.second, f"{pair.score:.3f}")))
        print_table(rows)
    judged = found.samples - found.alone
    typer.echo(f"{len(found.suspects)} of {count(judged, 'sample')} look like another identity")
    if found.alone:
        typer.echo(f"{count(found.alone, 'sample')} not judged: nothing else of the same identity to compare with")
    pairs = f"{count(len(found.merges), 'pair')} of {count(found.identities, 'identity', 'identities')}"
    if found.threshold is None:
        typer.echo(f"pairs were not looked for: the version has no threshold at {USUAL_RATE:g}; give --threshold")
    elif found.by_chance is None:
        typer.echo(f"{pairs} may be one person")
    else:
        typer.echo(f"{pairs} may be one person; with one sample each, some {found.by_chance:.0f} would by chance")
