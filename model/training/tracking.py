"""A run's record on an MLflow server, beside its own folder: settings, figures by step, report."""

import logging
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from model.comparison import flatten
from model.errors import TrackingError
from model.mlflow_server import connect, without_password
from model.training.recipe import Recipe

EXPERIMENT = "hap2s-reid"
# The file in the run's folder, so that a resumed run goes on in its record: the record's id, and below it the folder's
# path, by which a copy of the folder is told from the folder itself, also where that was moved.
RUN_ID = "mlflow_run"
_MOST_PARAMETERS = 100  # of one call
logger = logging.getLogger(__name__)


class MlflowRun:
    """The record of one training run; a server that goes away later costs one warning and no training."""

    def __init__(self, uri: str, folder: Path, recipe: Recipe, tags: dict[str, str]) -> None:
        """Open the folder's record or a new one; raise `TrackingError` when the server does not answer."""
        self._lost = False
        try:
            self._client = connect(uri)
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
        known, original = _recorded(folder), _original(folder)
        if known is not None and original is None:
            run: str = self._client.get_run(known).info.run_id
            self._client.update_run(run, status="RUNNING")
            _keep(folder, run)
            return run
        if known is not None:
            logger.warning("%s is a copy of %s: it goes on in a record of its own", folder, original)
            tags = tags | {"copy_of": known}
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        run = self._client.create_run(number, run_name=f"{recipe.name} {folder.name}").info.run_id
        parameters = [Param(name, value) for name, value in flatten(recipe.model_dump(mode="json")).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(run, params=parameters[start : start + _MOST_PARAMETERS])
        self._client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])
        _keep(folder, run)
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


def _recorded(folder: Path) -> str | None:
    """Return the id of the record that a run's folder names, if it does."""
    return _lines(folder)[0] or None


def _original(folder: Path) -> Path | None:
    """Return the folder that this one is a copy of: one that is still there, with the same record."""
    run, path = _lines(folder)
    if not path or Path(path) == folder.resolve() or _lines(Path(path))[0] != run:
        return None
    return Path(path)


def _lines(folder: Path) -> tuple[str, str]:
    try:
        run, _, path = (folder / RUN_ID).read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # another's folder, too, may not be looked into
        return "", ""
    return run.strip(), path.strip()


def _keep(folder: Path, run: str) -> None:
    (folder / RUN_ID).write_text(f"{run}\n{folder.resolve()}\n", encoding="utf-8")
