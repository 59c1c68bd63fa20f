"""`reid query`: pictures of one person or an enrolled sample in, the ranked identities out."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.text import Text

from app.cli.data_folder import settings_here
from app.cli.failures import CommandError, explain
from app.cli.options import Gallery, Key, Url, require_url
from app.cli.report import printable
from app.cli.tables import table
from app.cli.words import count
from app.engine import Engine, open_engine
from app.errors import InvalidParameter
from app.false_alarms import LEAST_IDENTITIES, measure
from app.forms import validate
from app.parameters import QueryForm
from app.pipeline import Pixels, Timing
from app.pooling import pool
from app.querying import Query, query_answer
from app.rerank import rerank as reranked
from app.verdict import among_strangers, draw_line
from index.records import Embedding
from model.calibration import USUAL_RATE
from model.errors import ImageError
from model.preprocess import prepare

MAX_IMAGES = 32
BAR = 16  # columns for a score of 1
_MATCH = {True: "yes", False: "no", None: "–"}  # a file has no colours, and near the threshold the bar is too coarse

Images = Annotated[list[Path] | None, typer.Argument(help="Pictures of one person; several are pooled into one query.")]
SampleId = Annotated[
    str | None, typer.Option("--sample", help="Instead of pictures: an enrolled sample by its id; it is left out.")
]
Cameras = Annotated[list[str] | None, typer.Option(help="Keep samples of this camera; repeatable.")]
Excluded = Annotated[list[str] | None, typer.Option(help="Drop samples of this camera; repeatable.")]
After = Annotated[str | None, typer.Option(help="Keep samples taken at this time or later, with its offset.")]
Before = Annotated[str | None, typer.Option(help="Keep samples taken before this time.")]


def query(
    images: Images = None,
    sample_id: SampleId = None,
    gallery: Gallery = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, help="Identities to return.")] = 10,
    samples_per_identity: Annotated[int, typer.Option(min=0, max=100, help="Best samples under each.")] = 3,
    camera: Cameras = None,
    exclude_camera: Excluded = None,
    captured_after: After = None,
    captured_before: Before = None,
    attributes: Annotated[str, typer.Option(help="A JSON object that a sample's attributes equal.")] = "{}",
    false_match_rate: Annotated[
        float | None, typer.Option(help="Picks the model's calibrated threshold; 0.001 where that is not given.")
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="Instead: at most this share of strangers is taken for somebody in this gallery."),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Instead of the calibrated one.")] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Re-rank the shortlist by k-reciprocal neighbours; scores stay cosines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what POST /query answers.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Rank a gallery's identities by how alike they are to the person in the pictures, or of an enrolled sample."""
    require_url(url, key)
    given: dict[str, object] = {
        "top_k": top_k,
        "samples_per_identity": samples_per_identity,
        "camera": camera or [],
        "exclude_camera": exclude_camera or [],
        "captured_after": captured_after,
        "captured_before": captured_before,
        "attributes": _attributes(attributes),
        "false_alarm_rate": false_alarm_rate,
        "threshold": threshold,
        "rerank": rerank,
        "sample_id": sample_id,
    }
    named = {"gallery": gallery, "false_match_rate": false_match_rate}
    given |= {name: value for name, value in named.items() if value is not None}
    pictures = images or []
    if bool(pictures) == (sample_id is not None):
        raise typer.BadParameter(f"expected either pictures or --sample, found {'both' if pictures else 'neither'}")
    if len(pictures) > MAX_IMAGES:
        raise typer.BadParameter(f"expected at most {MAX_IMAGES} pictures, found {len(pictures)}")
    if folder := next((printable(str(path)) for path in pictures if path.is_dir()), None):
        raise typer.BadParameter(f"expected pictures of one person, found the folder {folder}: name those in it")
    try:
        parameters = validate(QueryForm, given)
        answer = _answer(pictures, parameters, url, key)
    except InvalidParameter as exc:
        option = "--sample" if exc.field == "sample_id" else "--" + exc.field.replace("_", "-")
        raise typer.BadParameter(str(exc), param_hint=option) from exc
    if as_json:
        typer.echo(orjson.dumps(answer))
    else:
        show(answer, Console(), false_alarm_rate)


def _answer(images: Sequence[Path], parameters: QueryForm, url: str | None, key: str | None) -> dict[str, Any]:
    if url is None:
        with open_engine(settings_here()) as engine:
            return ask(engine, images, parameters)
    from app.cli.remote import ask_over_http, connected  # here, because the data folder needs no client

    with connected(url, key) as client:
        return ask_over_http(client, images, parameters)


def ask(engine: Engine, images: Sequence[Path], parameters: QueryForm) -> dict[str, Any]:
    """Return what `POST /query` answers for the same pictures, or the sample, and fields."""
    line = draw_line(engine.model.card.calibration, parameters)
    asked = Query(parameters, engine.embedder, line, Timing(), parameters.sample_id)
    embedding = _embedding(engine, images, asked)
    with _timed(asked.timing, "search"):
        if parameters.rerank:
            found = reranked(engine.gallery, asked.call, embedding)
        else:
            (found,) = asked.call.run(engine.gallery, embedding[None])
    strangers = measure(engine.gallery, parameters.gallery, asked.embedder.version, found.enrolled)
    return query_answer(asked, found, among_strangers(line, parameters, strangers))


def _embedding(engine: Engine, images: Sequence[Path], asked: Query) -> Embedding:
    if asked.exclude_sample is not None:
        gallery, version = asked.parameters.gallery, asked.embedder.version
        return engine.gallery.embedding(gallery, asked.exclude_sample, model_version=version)
    with _timed(asked.timing, "decode"):
        pixels = np.stack([_prepared(path, engine) for path in images])
    with _timed(asked.timing, "embed"):
        return pool(engine.embedder.embed(pixels))


@contextmanager
def _timed(timing: Timing, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timing.add(stage, time.perf_counter() - started)


def show(answer: dict[str, Any], console: Console, rate: float | None) -> None:
    """Print the verdict and the ranking, a bar for each score with the threshold on it."""
    console.print(Text(_verdict(answer, rate)), soft_wrap=True)
    if not answer["identities"]:
        return
    rows = table("rank", "identity", "score", "match", "", "best samples", whole=("rank", "score", "match", ""))
    for identity in answer["identities"]:
        best = "\n".join(_sample(sample) for sample in identity["samples"])
        rows.add_row(
            str(identity["rank"]),
            Text(printable(identity["identity"]), style="bold" if identity["match"] else ""),
            f"{identity['score']:.3f}",
            _MATCH[identity["match"]],
            Text(bar(identity["score"], answer["threshold"]), style="green" if identity["match"] else "dim"),
            Text(best),
        )
    console.print(rows)


def bar(score: float, threshold: float | None) -> str:
    """Draw a score from 0 to 1; `┃` is the threshold."""
    length = round(max(0.0, score) * BAR)
    cells = ["█"] * length + [" "] * (BAR - length)
    if threshold is not None and 0 <= threshold <= 1:
        cells[min(round(threshold * BAR), BAR - 1)] = "┃"
    return "".join(cells)


def _verdict(answer: dict[str, Any], rate: float | None) -> str:
    searched = f"{count(answer['searched'], 'sample')} searched with {answer['model_version']}"
    best = max((identity["score"] for identity in answer["identities"]), default=None)
    if best is None:
        return f"unknown: no samples to compare with ({searched})"
    if answer["threshold"] is None and rate is not None:
        least = f"that takes {LEAST_IDENTITIES} people and {count(math.ceil(1 / rate) - 1, 'sample')}"
        return f"uncalibrated: the gallery is too small for a false alarm rate of {rate:g}, {least} ({searched})"
    if answer["threshold"] is None:
        least = f"no threshold at the usual false match rate of {USUAL_RATE:g}"
        return (
            f"uncalibrated: the model has {least}; name another with --false-match-rate, or a --threshold ({searched})"
        )
    shown = f"best {best:.3f} {'≥' if best >= answer['threshold'] else '<'}"
    if answer["verdict"] == "match" and best < answer["threshold"]:
        shown = "somebody whom re-ranking left out ≥"
    matches = "" if answer["false_match_rate"] is None else f" at a false match rate of {answer['false_match_rate']:g}"
    alarms = answer["false_alarm_rate"]
    strangers = "" if alarms is None else f", which {alarms:.1%} of strangers reach in this gallery"
    line = f"threshold {answer['threshold']:.3f}{matches}{strangers}"
    return f"{answer['verdict']}: {shown} {line} ({searched})"


def _sample(sample: dict[str, Any]) -> str:
    where = [part for part in (sample["camera"], sample["captured_at"]) if part]
    return printable(f"{sample['score']:.3f} {' '.join(where)}".strip())


def _prepared(path: Path, engine: Engine) -> Pixels:
    try:
        return prepare(path.read_bytes(), engine.embedder.contract)
    except ImageError as exc:
        raise CommandError(f"{path}: {explain(exc)}") from exc


def _attributes(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected a JSON object: {exc}", param_hint="--attributes") from exc
