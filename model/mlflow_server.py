"""An MLflow server, as training's record and the model registry reach it."""

import logging
import os
import re

from mlflow import MlflowClient
from mlflow.environment_variables import (
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
)

_SETTINGS = {
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.name: "1",
    MLFLOW_HTTP_REQUEST_TIMEOUT.name: "10",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.name: "false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.name: "true",  # with the password that is in the address
}


def connect(uri: str) -> MlflowClient:
    """Return a client that gives up after seconds and prints nothing.

    mlflow's own patience would hold its caller up for many minutes.
    """
    for setting, value in _SETTINGS.items():
        os.environ.setdefault(setting, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(uri)


def without_password(text: str) -> str:
    """Return a text whose addresses show no name and password."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
