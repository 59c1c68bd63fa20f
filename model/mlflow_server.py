"""An MLflow server, as training's record and the model registry reach it."""

import os
import re

from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT


def connect(uri: str) -> MlflowClient:
    """Return a client that gives up after seconds: mlflow's own patience would hold its caller up for many minutes."""
    for setting, value in ((MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1), (MLFLOW_HTTP_REQUEST_TIMEOUT, 10)):
        os.environ.setdefault(setting.name, str(value))
    return MlflowClient(uri)


def without_password(text: str) -> str:
    """Return a text whose addresses show no name and password."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
