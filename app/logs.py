"""Log lines as text or JSON, each with the id of the request it belongs to."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from app.settings import Settings

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": request_id.get(),
            "message": record.getMessage(),
        }
        if (key_id := getattr(record, "key_id", None)) is not None:
            line["key_id"] = key_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)  # orjson refuses what a file's name may hold that is no text, and the line is lost


class TextFormatter(logging.Formatter):
    """One line that people can read; its time is UTC, as that of all else that is told."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(request)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.request = request_id.get()
        return super().format(record)


@contextmanager
def logging_to_stderr(settings: Settings) -> Iterator[None]:
    """Send every logger's lines to stderr in the format that the settings name."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin of its own
    for name in ("aiobotocore", "botocore", "s3fs"):  # of where credentials are found, tokens and whole pictures
        logging.getLogger(name).setLevel(logging.WARNING)
    root.setLevel(settings.log_level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
