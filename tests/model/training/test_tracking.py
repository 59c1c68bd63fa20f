import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from model.errors import TrackingError
from model.training.datasets.reading import read_dataset
from model.training.difference import People
from model.training.evaluation import Retrieval
from model.training.journal import Journal
from model.training.recipe import read_recipe
from model.training.tracking import EXPERIMENT, RUN_ID, MlflowRun
from model.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where its store puts artefacts
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_run_is_recorded_with_settings_figures_and_report(
    server: str, recipe_file: Path, market: Path, weights: Path, tmp_path: Path
) -> None:
    recipe = read_recipe(str(recipe_file))
    for _ in range(2):  # the second finds the run finished, and goes on in the same record
        train(recipe, read_dataset(market), tmp_path / "run", weights=weights, device="cpu", mlflow=server)
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["loss.margin"] == "0.3"
    assert found.data.params["stages.1.height"] == "64"
    assert len(found.data.tags["data_sha256"]) == 64
    assert 0 < found.data.metrics["validation/mAP"] <= 1
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {"report.html", "history.jsonl"}


def test_a_copied_folder_gets_a_record_of_its_own_and_a_moved_one_keeps_its(
    server: str, recipe_file: Path, tmp_path: Path
) -> None:
    recipe, client, first, second = read_recipe(str(recipe_file)), MlflowClient(server), tmp_path / "a", tmp_path / "b"

    def records() -> list[str]:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        return [each.info.run_id for each in client.search_runs([experiment.experiment_id], order_by=["start_time"])]

    first.mkdir()
    MlflowRun(server, first, recipe, {})
    (original,) = records()
    shutil.copytree(first, second)
    for folder in (second, second, first):
        MlflowRun(server, folder, recipe, {})
    assert len(records()) == 2
    (copied,) = set(records()) - {original}
    assert client.get_run(copied).data.tags["copy_of"] == original
    first.rename(tmp_path / "c")
    MlflowRun(server, tmp_path / "c", recipe, {})
    (tmp_path / "c" / RUN_ID).write_text(original)  # as earlier releases wrote it
    MlflowRun(server, tmp_path / "c", recipe, {})
    assert len(records()) == 2


def test_server_that_does_not_answer_stops_nothing_but_the_start(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"cannot reach MLflow at http://\*\*\*@127\.0\.0\.1:9") as failure:
        MlflowRun("http://someone:secret@127.0.0.1:9", tmp_path, read_recipe(str(recipe_file)), {})
    assert "secret" not in str(failure.value)


def test_server_that_goes_away_costs_one_warning(
    server: str, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise MlflowException("connection refused")

    record = MlflowRun(server, tmp_path, read_recipe(str(recipe_file)), {})
    monkeypatch.setattr(MlflowClient, "log_batch", gone)
    with Journal(tmp_path, 0, record) as journal:
        for step in (50, 100):
            journal.training(step, 1, {"metric": 1.5})
        result = Retrieval(np.array([0.5]), 0.25, 0.125, 1, 0, 4, np.array([0.25]))
        journal.validation(100, 1, result, People.of(result, np.array([1]), "a hash"))
    record.finish(())
    assert caplog.text.count("does not answer any more") == 1
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3
