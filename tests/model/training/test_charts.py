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
