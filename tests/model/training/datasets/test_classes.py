from pathlib import Path

import numpy as np

from model.training.datasets.classes import split_classes
from model.training.evaluation import Embedded, evaluate_retrieval


def test_first_classes_train_and_the_others_are_query_and_gallery(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    for path in paths:
        path.touch()
    dataset = split_classes("birds", "none", None, paths, [1, 2, 3, 1, 2, 3], 2)
    assert dataset.train.identities.tolist() == [1, 2, 1, 2]
    assert dataset.query.paths == (paths[2], paths[5])
    assert dataset.gallery is dataset.query
    assert dataset.protocol == "retrieval"


def test_a_query_is_dropped_from_its_own_ranking_and_nothing_else_is(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(5)]
    for path in paths:
        path.touch()
    test = split_classes("birds", "none", None, paths, [3, 3, 4, 4, 4], 2).query
    unit = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.8, 0.6]], dtype=np.float32)  # the last is nearer the others
    images = Embedded(unit, test.identities, test.cameras)
    result = evaluate_retrieval(images, images)
    assert (result.queries, result.skipped) == (5, 0)
    assert result.cmc.tolist() == [4 / 5, 4 / 5, 1, 1, 1]
