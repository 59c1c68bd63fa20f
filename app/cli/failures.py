"""One line for every failure: what was expected, what was found, what to do."""

import errno
import os

from app.advice import advised, installing
from app.errors import ServiceError, SettingsInvalid
from index.errors import GalleryError
from model.errors import ModelError

EXTRAS = {
    "faiss": "cpu",
    "onnxruntime": "cpu",
    "httpx": "client",
    "mlflow": "mlflow",
    "opentelemetry": "trace",
    "h5py": "train",
    "jinja2": "train",
    "matplotlib": "train",
    "onnx": "train",
    "onnxscript": "train",
    "pytorch_metric_learning": "train",
    "safetensors": "train",
    "scipy": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "threadpoolctl": "train",
    "torch": "train",
    "torchvision": "train",
    "psycopg": "scale",
    "s3fs": "scale",
}


class CommandError(ServiceError):
    """What a verb cannot do; its text is meant for the user."""


def explain(error: BaseException) -> str:
    """Say in one line what happened, and for what was not foreseen how to see more."""
    return " ".join(_told(error).split())


def wants_trace() -> bool:
    """Return whether the settings ask for debugging; settings that cannot be read do not."""
    from app.settings import load_settings  # here, because most commands never need it

    try:
        return load_settings().log_level == "debug"
    except SettingsInvalid:
        return False


def _told(error: BaseException) -> str:
    if isinstance(error, ImportError) and isinstance(error.__cause__, ModuleNotFoundError):
        return _missing(error.__cause__, str(error))  # fsspec's, which says in its own words what an address needs
    if isinstance(error, ModuleNotFoundError):
        return _missing(error, f"the Python module {error.name!r} is missing; install hap2s-reid again")
    if isinstance(error, ServiceError | GalleryError | ModelError):
        return advised(error)
    if isinstance(error, OSError):
        return _system(error)
    return f"unexpected {type(error).__name__}: {error} (REID_LOG_LEVEL=debug prints the trace)"


def _missing(error: ModuleNotFoundError, otherwise: str) -> str:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return otherwise
    return f"this needs {package}, which is not installed: {installing(EXTRAS[package])}"


def _system(error: OSError) -> str:
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ENOSPC:
        what = "no space left on the disk"
    return f"{error.filename}: {what}" if error.filename else what
