"""Charts as SVG elements, for pages that need no other file."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from model.card import Threshold
from model.training.evaluation import Embedded

SIZE = (5.2, 3.4)  # inches
_MAPPED = 600  # embeddings; more make the map slow and no clearer
_COLOURED = 20  # identities
_BINS = 80
_LINE = 0.2  # inches, of a legend
_BESIDE = 0.4  # of the way to the next x, in which the series lie side by side


def to_svg(figure: Figure) -> Markup:
    """Return a figure as an `<svg>` element; matplotlib escapes the texts in it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str, *, log_x: bool = False
) -> Markup:
    """Draw curves by name, each as its x and y."""
    figure, axes = _axes(x_label, y_label)
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, marker="." if len(x) < 30 else "")
    if log_x:
        axes.set_xscale("log")
    if any(len(x) for x, _ in series.values()):
        axes.legend()
    return to_svg(figure)


def error_bars(series: Mapping[str, Sequence[tuple[float, float, float]]], x_label: str, y_label: str) -> Markup:
    """Draw series by name, each as its points' x, y and deviation; the values of x are told evenly spaced."""
    figure, axes = _axes(x_label, y_label)
    values = sorted({x for points in series.values() for x, _, _ in points})
    for number, (name, points) in enumerate(series.items()):
        x, y, deviation = np.array(points, dtype=np.float64).reshape(-1, 3).T
        aside = _BESIDE * ((number + 0.5) / len(series) - 0.5)  # else the bars would lie on each other
        axes.errorbar(np.searchsorted(values, x) + aside, y, yerr=deviation, label=name, marker=".", capsize=3)
    axes.set_xticks(range(len(values)), [f"{x:g}" for x in values])
    figure.set_figheight(SIZE[1] + _LINE * -(-len(series) // 2))
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")  # of many series, it would lie on them
    return to_svg(figure)


def cmc(curves: Mapping[str, NDArray[np.float64]]) -> Markup:
    """Draw CMC curves `(ranks,)` by name."""
    return lines(
        {name: (range(1, len(curve) + 1), (100 * curve).tolist()) for name, curve in curves.items()},
        "rank",
        "right answer within the rank, %",
    )


def roc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> Markup:
    """Draw the true over the false match rate, from the scores of pairs of one and of two identities."""
    rates = np.geomspace(1 / len(negative), 1, 200)
    cuts = np.sort(negative)[::-1][np.minimum((rates * len(negative)).astype(np.int64), len(negative) - 1)]
    true = 1 - np.searchsorted(np.sort(positive), cuts, side="right") / len(positive)
    return lines({"held-out pairs": (rates.tolist(), true.tolist())}, "false match rate", "true match rate", log_x=True)


def scores(positive: NDArray[np.float32], negative: NDArray[np.float32], thresholds: Sequence[Threshold]) -> Markup:
    """Draw the histograms of both kinds of pairs, with the threshold of each false match rate."""
    figure, axes = _axes("cosine", "density")
    bins = np.linspace(min(positive.min(), negative.min()), 1, _BINS).tolist()
    axes.hist(negative, bins=bins, density=True, alpha=0.6, label="two identities")
    axes.hist(positive, bins=bins, density=True, alpha=0.6, label="one identity")
    for line, row in enumerate(thresholds):  # each named a line lower, since two may be close
        axes.axvline(row.threshold, linestyle="--", linewidth=1, color="grey")
        place = (row.threshold, 0.98 - 0.06 * line)
        axes.annotate(f"{row.false_match_rate:g}", place, xycoords=("data", "axes fraction"), va="top")
    figure.legend(loc="outside lower center", ncols=2)  # within, it would lie on the scores of two identities
    return to_svg(figure)


def embedding_map(images: Embedded, seed: int) -> Markup:
    """Draw embeddings in the plane by t-SNE (van der Maaten, Hinton, JMLR 2008), coloured by identity."""
    names = np.unique(images.identities)[:_COLOURED]
    chosen = np.flatnonzero(np.isin(images.identities, names))[:_MAPPED]
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    tsne = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=seed)
    with threadpool_limits(1):  # its threads wait for each other awake: beside a training two took 14 s, one takes 3
        plane = tsne.fit_transform(images.embeddings[chosen])  # (n, 2)
    figure, axes = _axes("", "")
    colours = np.searchsorted(names, images.identities[chosen])  # not by number: two may end alike
    axes.scatter(plane[:, 0], plane[:, 1], c=colours, cmap="tab20", vmin=0, vmax=_COLOURED - 1, s=12)
    axes.set_xticks([])
    axes.set_yticks([])
    return to_svg(figure)


def camera_confusion(names: Sequence[str], table: NDArray[np.float64]) -> Markup:
    """Draw a share `(cameras, cameras)` in percent, query's camera down and gallery's across; NaN stays empty."""
    figure, axes = _axes("gallery's camera", "query's camera")
    axes.imshow(table, cmap="viridis", vmin=0, vmax=100)
    for axis, setter in ((axes.set_xticks, axes.set_xticklabels), (axes.set_yticks, axes.set_yticklabels)):
        axis(range(len(names)))
        setter(names)
    for row, column in np.argwhere(~np.isnan(table)).tolist():
        value = table[row, column]
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value < 60 else "black")
    return to_svg(figure)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes
