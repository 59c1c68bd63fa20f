"""A run's record on an MLflow server, beside its own folder: settings, figures by step, report."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException

from model.errors import TrackingError
from model.training.recipe import Recipe

EXPERIMENT = "hap2s-reid"
RUN_ID = "mlflow_run"  # the file in the run's folder, so that a resumed run goes on in its record
_MOST_PARAMETERS = 100  # of one call
logger = logging.getLogger(__name__)


class MlflowRun:
    """The record of one training run; a server that goes away later costs one warning and no training."""

    def __init__(self, uri: str, folder: Path, recipe: Recipe, tags: dict[str, str]) -> None:
        """Open the folder's record or a new one; raise `TrackingError` when the server does not answer."""
        self._lost = False
        for setting, value in ((MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1), (MLFLOW_HTTP_REQUEST_TIMEOUT, 10)):
            # mlflow's own patience would hold a run up for many minutes
            os.environ.setdefault(setting.name, str(value))
        try:
            self._client = MlflowClient(uri)
            self._run = self._open(folder, recipe, tags)
        except (MlflowException, OSError) as exc:
            raise TrackingError(
                f"cannot reach MLflow at {without_password(uri)}: {without_password(str(exc))}; "
                "correct the address, or train without it"
            ) from exc

    def figures(self, values: dict[str, float], step: int, seconds: float) -> None:
        """Record figures of a step, measured at `seconds` since 1970."""
        metrics = [Metric(name, value, int(1000 * seconds), step) for name, value in values.items()]
        self._try(lambda: self._client.log_batch(self._run, metrics=metrics))

    def finish(self, files: tuple[Path, ...]) -> None:
        """Record the run's files and that it is done."""
        for path in files:
            self._try(lambda path=path: self._client.log_artifact(self._run, str(path)))  # type: ignore[misc]
        self._try(lambda: self._client.set_terminated(self._run))

    def _open(self, folder: Path, recipe: Recipe, tags: dict[str, str]) -> str:
        known = folder / RUN_ID
        if known.exists():
            run: str = self._client.get_run(known.read_text(encoding="utf-8").strip()).info.run_id
            self._client.update_run(run, status="RUNNING")
            return run
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        run = self._client.create_run(number, run_name=f"{recipe.name} {folder.name}").info.run_id
        parameters = [Param(name, value) for name, value in flatten(recipe.model_dump(mode="json")).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(run, params=parameters[start : start + _MOST_PARAMETERS])
        self._client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])
        known.write_text(run, encoding="utf-8")
        return run

    def _try(self, call: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            call()
        except (MlflowException, OSError) as exc:
            self._lost = True
            logger.warning(
                "MLflow does not answer any more (%s); the run's folder has everything", without_password(str(exc))
            )


def without_password(text: str) -> str:
    """Return a text whose addresses show no name and password."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def flatten(content: object, prefix: str = "") -> dict[str, str]:
    """Return nested settings by their dotted names."""
    if isinstance(content, dict):
        items = [(str(name), value) for name, value in content.items()]
    elif isinstance(content, list):
        items = [(str(position), value) for position, value in enumerate(content)]
    else:
        return {prefix.removesuffix("."): str(content)}
    return {name: value for key, inner in items for name, value in flatten(inner, f"{prefix}{key}.").items()}
