from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.errors import RecipeError
from model.training.difference import People
from model.training.evaluation import Retrieval
from model.training.journal import HISTORY, TENSORBOARD, Journal, Row, read_history

PRECISIONS = np.array([0.5, 0.25, 0.25, 0.0])
RESULT = Retrieval(np.array([0.5, 1.0]), 0.25, 0.125, 4, 0, 4, PRECISIONS)
PEOPLE = People.of(RESULT, np.array([1, 1, 2, 2]), "a hash")


def test_what_is_noted_is_read_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.validation(4, 1, RESULT, PEOPLE)
        journal.training(2, 0.5, {"metric": 1.5})
    assert read_history(tmp_path) == [
        Row("training", 2, 0.5, {"metric": 1.5}),
        Row("validation", 4, 1, {"rank1": 0.5, "mAP": 0.25, "mINP": 0.125}, PEOPLE),
    ]


def test_a_step_that_was_done_again_counts_once(tmp_path: Path) -> None:
    for loss in (3.0, 2.0):
        with Journal(tmp_path, 0) as journal:
            journal.training(50, 1, {"metric": loss})
    assert read_history(tmp_path) == [Row("training", 50, 1, {"metric": 2.0})]


def test_tensorboard_gets_the_same(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.training(50, 1, {"metric": 1.5})
        journal.validation(60, 2, RESULT, PEOPLE)
    board = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert [(event.step, event.value) for event in board.Scalars("training/metric")] == [(50, 1.5)]
    assert [(event.step, event.value) for event in board.Scalars("validation/mAP")] == [(60, 0.25)]


def test_tensorboard_keeps_what_a_checkpoint_has_and_not_what_came_after(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.validation(60, 2, RESULT, PEOPLE)
        journal.training(70, 2.2, {"metric": 9.0})
    with Journal(tmp_path, 60) as journal:
        journal.training(80, 2.4, {"metric": 1.5})
    board = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert [(event.step, event.value) for event in board.Scalars("validation/mAP")] == [(60, 0.25)]
    assert [(event.step, event.value) for event in board.Scalars("training/metric")] == [(80, 1.5)]


def test_a_line_that_a_full_disk_cut_off_does_not_spoil_the_run(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.training(50, 1, {"metric": 1.5})
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"kind": "training", "st')
    assert [row.step for row in read_history(tmp_path)] == [50]
    with Journal(tmp_path, 50) as journal:
        journal.training(100, 2, {"metric": 1.25})
    assert [row.step for row in read_history(tmp_path)] == [50, 100]


def test_a_run_that_begins_anew_has_no_rows_of_one_that_was_given_up(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.validation(70, 1, RESULT, PEOPLE)  # and then its first checkpoint failed
    with Journal(tmp_path, 0) as journal:
        journal.validation(60, 1, RESULT, PEOPLE)
    assert [row.step for row in read_history(tmp_path)] == [60]


def test_two_trainings_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        with pytest.raises(RecipeError, match=r"another training is at work in .*give another --out"):
            Journal(tmp_path, 0)
        journal.training(50, 1, {"metric": 1.5})
    Journal(tmp_path, 50).close()


def test_what_is_no_history_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected a training run"):
        read_history(tmp_path)
    for text in ("torn", '{"step": 1}', "[]", '{"kind": "validation", "step": 1, "epoch": 1, "people": {}}'):
        (tmp_path / HISTORY).write_text(f"{text}\n")
        with pytest.raises(RecipeError, match="is not a run's history"):
            read_history(tmp_path)
