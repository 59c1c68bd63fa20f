"""MLflow's model registry as a place to put versions and to get them from.

A version `name@n` is a model version of the registered model `name`; the tag `reid.version` says which, for MLflow
counts by itself. Its artefacts are the files of its folder.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from model.card import CARD_NAME, VERSION_PATTERN, Card
from model.errors import ExchangeError
from model.mlflow_server import connect, without_password
from model.registry import Registry, sha256

EXPERIMENT = "hap2s-reid versions"
_VERSION_TAG = "reid.version"
_CARD_TAG = "reid.card_sha256"
_FOLDER = "version"
_READY = "READY"


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where a version is in MLflow's registry; `added` is false when it was there already."""

    name: str
    number: str
    added: bool


class MlflowRegistry:
    """The model registry of one MLflow server; raises `ExchangeError` for what it does not do."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with self._faults():
            self._client: MlflowClient = connect(uri)

    def push(self, registry: Registry, version: str) -> Pushed:
        """Put a version there, after its files were checked; one that is there already with the same card stays."""
        card, folder = registry.card(version), registry.checked_folder(version)
        with self._faults():
            digest = sha256(folder / CARD_NAME)
            if (known := self._find(card.name, version)) is not None:
                return _same(known, version, digest)
            return self._add(card, folder, digest)

    def pull(self, registry: Registry, wanted: str) -> str:
        """Register a version from there and return it: `name@n`, `name@alias`, or `name` for the latest."""
        with tempfile.TemporaryDirectory(prefix="reid-pull-") as folder:
            with self._faults():
                found = self._wanted(wanted)
                source = self._client.get_model_version_download_uri(found.name, found.version)
                got = artifacts.download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=self._uri)
            return registry.import_version(Path(got), expected=found.tags[_VERSION_TAG])

    def _add(self, card: Card, folder: Path, digest: str) -> Pushed:
        if not self._client.search_registered_models(f"name = '{card.name}'"):
            self._client.create_registered_model(card.name)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        run = self._client.create_run(number, run_name=card.version).info
        for name in (CARD_NAME, *card.files):
            self._client.log_artifact(run.run_id, str(folder / name), _FOLDER)
        self._client.set_terminated(run.run_id)
        tags = {_VERSION_TAG: card.version, _CARD_TAG: digest}
        source = f"{run.artifact_uri}/{_FOLDER}"
        made = self._client.create_model_version(card.name, source, run.run_id, tags=tags, description=card.terms)
        return Pushed(card.name, str(made.version), added=True)

    def _wanted(self, wanted: str) -> ModelVersion:
        name, at, suffix = wanted.partition("@")
        if re.fullmatch(VERSION_PATTERN, wanted):
            found = self._find(name, wanted)
        elif suffix:
            found = self._client.get_model_version_by_alias(name, suffix)
        elif at:
            found = None
        else:
            found = max(self._versions(name), key=lambda each: int(each.version), default=None)
        if found is None or _VERSION_TAG not in found.tags:
            held = ", ".join(each.tags[_VERSION_TAG] for each in self._versions(name)) or "none"
            raise ExchangeError(f"expected a version out of {held} in MLflow's registry, found {wanted}")
        return found

    def _find(self, name: str, version: str) -> ModelVersion | None:
        return next((each for each in self._versions(name) if each.tags[_VERSION_TAG] == version), None)

    def _versions(self, name: str) -> list[ModelVersion]:
        """Return the model's versions that were pushed from here; others are somebody else's models."""
        if not re.fullmatch(VERSION_PATTERN, f"{name}@1"):
            return []
        found = self._client.search_model_versions(f"name = '{name}'")
        return [each for each in found if _VERSION_TAG in each.tags and each.status == _READY]

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, OSError) as exc:
            told = without_password(str(exc)).splitlines()[0][:200]
            raise ExchangeError(f"MLflow's registry at {without_password(self._uri)}: {told}") from exc


def _same(known: ModelVersion, version: str, digest: str) -> Pushed:
    if known.tags.get(_CARD_TAG) != digest:
        raise ExchangeError(
            f"{version} is in MLflow's registry with other content; versions never change: use a new number"
        )
    return Pushed(known.name, str(known.version), added=False)
