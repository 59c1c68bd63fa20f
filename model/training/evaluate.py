"""Measure a model version on Market-1501's test split."""

from pathlib import Path
from typing import Literal

from model.card import Metrics
from model.runtime import Embedder
from model.training.embedding import embed_images
from model.training.evaluation import PROTOCOL, Retrieval, evaluate_retrieval
from model.training.market1501 import GALLERY, QUERY, read_split

Precision = Literal["fp32", "int8", "torch"]


def evaluate_version(embedder: Embedder, data: Path) -> Retrieval:
    """Rank the test split's gallery for each of its queries, embedded by the path that serves."""
    query, gallery = (embed_images(embedder, read_split(data, split)) for split in (QUERY, GALLERY))
    return evaluate_retrieval(query, gallery)


def as_metrics(result: Retrieval, *, precision: Precision, command: str, split: str = "test") -> Metrics:
    """Return the figures in percent for a card or the terminal, with the protocol's name."""
    return Metrics(
        protocol=f"{PROTOCOL}; {split}",
        precision=precision,
        rank1=round(100 * result.rank(1), 2),
        rank5=round(100 * result.rank(5), 2),
        rank10=round(100 * result.rank(10), 2),
        mAP=round(100 * result.mAP, 2),
        mINP=round(100 * result.mINP, 2),
        queries=result.queries,
        skipped=result.skipped,
        gallery=result.gallery,
        command=command,
    )
