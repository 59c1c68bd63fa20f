"""Measure a model version on a data set's test split."""

from typing import Literal

from model.card import Metrics
from model.runtime import Embedder
from model.training.datasets.dataset import Dataset
from model.training.embedding import embed_images
from model.training.evaluation import PROTOCOL, Retrieval, evaluate_retrieval

Precision = Literal["fp32", "int8", "torch"]


def evaluate_version(embedder: Embedder, dataset: Dataset) -> Retrieval:
    """Rank the test split's gallery for each of its queries, embedded by the path that serves."""
    query, gallery = (embed_images(embedder, dataset.require(split)) for split in ("query", "gallery"))
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
