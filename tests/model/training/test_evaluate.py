from pathlib import Path

import numpy as np
import pytest

from model.card import read_card
from model.runtime import Embedder
from model.training import reranking
from model.training.class_retrieval import evaluate_classes
from model.training.datasets.dataset import Dataset
from model.training.datasets.reading import read_dataset
from model.training.embedding import average, balance_by_camera, mirror
from model.training.evaluate import (
    WHITE_BALANCE,
    Variants,
    as_metrics,
    embed_test,
    evaluate_retrieval_set,
    evaluate_variants,
    evaluate_version,
)
from model.training.evaluation import PROTOCOL, evaluate_retrieval
from model.training.protocols import MULTI_QUERY, pool_queries
from tests.tiny_model import write_version


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    card = read_card(write_version(tmp_path / "version") / "card.json")
    return Embedder(tmp_path / "version" / "model.onnx", card.input, card.output, card.version)


@pytest.fixture
def dataset(market: Path) -> Dataset:
    return read_dataset(market)


def test_without_variants_it_is_the_single_query(embedder: Embedder, dataset: Dataset) -> None:
    (row,) = evaluate_variants(embedder, dataset, Variants())
    assert row.protocol == PROTOCOL
    assert row.result.mAP == evaluate_version(embedder, dataset).mAP


def test_each_row_is_what_its_protocol_says(embedder: Embedder, dataset: Dataset) -> None:
    found = {
        row.protocol: row.result.mAP
        for row in evaluate_variants(embedder, dataset, Variants(flip=True, rerank=True, multi_query=True))
    }
    plain, mirrored = embed_test(embedder, dataset), embed_test(embedder, dataset, mirror)
    flipped = [average(*views) for views in zip(plain, mirrored, strict=True)]
    for (query, gallery), ending in ((plain, ""), (flipped, "; flip averaged")):
        pooled = pool_queries(query, gallery)
        assert found[PROTOCOL + ending] == evaluate_retrieval(query, gallery).mAP
        assert found[MULTI_QUERY + ending] == evaluate_retrieval(pooled, gallery).mAP
        scores = reranking.rerank(pooled, gallery)
        protocol = f"{MULTI_QUERY}; {reranking.PROTOCOL}{ending}"
        assert found[protocol] == evaluate_retrieval(pooled, gallery, scores=scores).mAP
    assert len(found) == 8
    assert len(set(found.values())) > 4


def test_a_set_for_retrieval_is_searched_in_its_gallery(embedder: Embedder, dataset: Dataset) -> None:
    query, gallery = embed_test(embedder, dataset)
    found = evaluate_retrieval_set(embedder, dataset)
    assert found == evaluate_classes(query, gallery)
    assert found != evaluate_classes(query, query)


def test_white_balance_is_measured_on_pictures_whose_cameras_have_each_their_own(
    embedder: Embedder, dataset: Dataset
) -> None:
    plain, balanced = evaluate_variants(embedder, dataset, Variants(white_balance=True))
    assert (plain.protocol, balanced.protocol) == (PROTOCOL, f"{PROTOCOL}; {WHITE_BALANCE}")
    assert balanced.result.mAP == evaluate_retrieval(*embed_test(embedder, dataset, balance_by_camera)).mAP
    assert balanced.result.mAP != plain.result.mAP


def test_metrics_are_in_percent_and_name_protocol_and_split(embedder: Embedder, dataset: Dataset) -> None:
    (row,) = evaluate_variants(embedder, dataset, Variants())
    metrics = as_metrics(row.result, precision="fp32", command="reid evaluate", protocol="ours", split="held-out")
    assert metrics.protocol == "ours; held-out"
    assert metrics.mAP == pytest.approx(100 * row.result.mAP, abs=0.01)
    assert metrics.rank5 == pytest.approx(100 * float(np.asarray(row.result.cmc)[4]), abs=0.01)
