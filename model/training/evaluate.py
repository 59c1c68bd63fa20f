"""Measure a model version on a data set's test split."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model.card import Metrics
from model.runtime import Embedder
from model.training import reranking
from model.training.class_retrieval import ClassRetrieval, evaluate_classes
from model.training.datasets.dataset import Dataset
from model.training.embedding import GAIN, View, average, balance_by_camera, embed_images, mirror
from model.training.evaluation import PROTOCOL, Embedded, Retrieval, evaluate_retrieval
from model.training.protocols import DRAWS, MULTI_QUERY, SINGLE_SHOT, evaluate_single_shot, pool_queries

Precision = Literal["fp32", "int8", "torch"]
FLIP = "flip averaged"
WHITE_BALANCE = f"white balance e^±{GAIN} by camera"


@dataclass(frozen=True)
class Variants:
    """What is measured beside the single query: each adds rows of its own; the two of pictures do not combine."""

    flip: bool = False
    white_balance: bool = False
    rerank: bool = False
    multi_query: bool = False
    single_shot: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the table: the protocol by its name, and what came of it."""

    protocol: str
    result: Retrieval


def evaluate_version(embedder: Embedder, dataset: Dataset) -> Retrieval:
    """Rank the test split's gallery for each of its queries, embedded by the path that serves."""
    return evaluate_retrieval(*embed_test(embedder, dataset))


def evaluate_variants(embedder: Embedder, dataset: Dataset, variants: Variants) -> list[Row]:
    """Measure the single query and every variant asked for; each variant of the pictures embeds them once more."""
    plain = embed_test(embedder, dataset)
    rows = list(rank_variants(*plain, variants))
    if variants.flip:
        mirrored = embed_test(embedder, dataset, mirror)
        query, gallery = (average(*views) for views in zip(plain, mirrored, strict=True))
        rows += [Row(f"{row.protocol}; {FLIP}", row.result) for row in rank_variants(query, gallery, variants)]
    if variants.white_balance:
        balanced = embed_test(embedder, dataset, balance_by_camera)
        rows += [Row(f"{row.protocol}; {WHITE_BALANCE}", row.result) for row in rank_variants(*balanced, variants)]
    return rows


def embed_test(embedder: Embedder, dataset: Dataset, view: View | None = None) -> tuple[Embedded, Embedded]:
    """Return the test split's queries and gallery, embedded by the path that serves."""
    query, gallery = (embed_images(embedder, dataset.require(split), view=view) for split in ("query", "gallery"))
    return query, gallery


def evaluate_retrieval_set(embedder: Embedder, dataset: Dataset) -> ClassRetrieval:
    """Measure a data set without cameras: each query asks for the gallery's images of its class."""
    asked, searched = dataset.require("query"), dataset.require("gallery")
    query = embed_images(embedder, asked)
    return evaluate_classes(query, query if searched.paths == asked.paths else embed_images(embedder, searched))


def rank_variants(query: Embedded, gallery: Embedded, variants: Variants) -> Iterator[Row]:
    """Yield the rows for one set of embeddings: single query first."""
    asked = {PROTOCOL: query} | ({MULTI_QUERY: pool_queries(query, gallery)} if variants.multi_query else {})
    for protocol, queries in asked.items():
        yield Row(protocol, evaluate_retrieval(queries, gallery))
        if variants.rerank:
            scores = reranking.rerank(queries, gallery)
            yield Row(f"{protocol}; {reranking.PROTOCOL}", evaluate_retrieval(queries, gallery, scores=scores))
    if variants.single_shot:
        yield Row(SINGLE_SHOT.format(draws=DRAWS), evaluate_single_shot(query, gallery))


def as_metrics(
    result: Retrieval, *, precision: Precision, command: str, split: str = "test", protocol: str = PROTOCOL
) -> Metrics:
    """Return the figures in percent for a card or the terminal, with the protocol's name."""
    return Metrics(
        protocol=f"{protocol}; {split}",
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
