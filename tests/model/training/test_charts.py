import re

import numpy as np
import pytest
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_info

from model.training.charts import embedding_map
from model.training.evaluation import Embedded


def test_the_map_is_computed_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(_: TSNE, rows: np.ndarray) -> np.ndarray:
        seen.append({pool["num_threads"] for pool in threadpool_info()})
        return np.zeros((len(rows), 2))

    monkeypatch.setattr(TSNE, "fit_transform", record)
    numbers = np.arange(12)
    embedding_map(Embedded(np.eye(12, dtype=np.float32), numbers, numbers), 0)
    assert seen == [{1}]


def test_the_people_of_the_map_have_a_colour_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TSNE, "fit_transform", lambda _, rows: np.zeros((len(rows), 2)))
    numbers = np.array([3, 23, 43, 44, 44])  # alike but for twenties
    page = embedding_map(Embedded(np.eye(5, dtype=np.float32), numbers, np.arange(5)), 0)
    assert len(set(re.findall(r"<use [^>]*fill: (#\w+)", page))) == 4
