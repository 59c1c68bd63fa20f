import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_info

from model.training import charts
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


def test_the_error_bars_of_a_point_lie_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(charts, "to_svg", drawn.append)
    points = [(0.1, 20.0, 1.0), (0.5, 21.0, 1.0), (10.0, 19.0, 1.0)]
    charts.error_bars({"a": points, "b": points[1:]}, "sigma", "mAP")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.5", "10"]
    first, second = (np.asarray(line.get_xdata()) for line in axes.lines if line.get_marker() == ".")
    assert first.round().tolist() == [0, 1, 2]
    assert second.round().tolist() == [1, 2]
    assert np.all(second - first[1:] > 0.1)
