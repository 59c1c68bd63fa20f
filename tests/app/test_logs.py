import json
import logging
import os
import time

import pytest

from app.logs import JsonFormatter, TextFormatter, logging_to_stderr, request_id
from app.settings import load_settings


def log_one(capsys: pytest.CaptureFixture[str], **settings: str) -> str:
    with logging_to_stderr(load_settings(**settings)):
        token = request_id.set("the-id")
        try:
            raise ValueError("planted")
        except ValueError:
            logging.getLogger("part").warning("%d things", 3, exc_info=True)
            logging.getLogger("part").debug("not this")
        finally:
            request_id.reset(token)
    return capsys.readouterr().err


def test_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = log_one(capsys, log_format="json").splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"], told["request_id"]) == (
        "warning",
        "part",
        "3 things",
        "the-id",
    )
    assert "ValueError: planted" in told["exception"]


def test_a_file_name_that_is_no_text_loses_no_line() -> None:
    # not logged: xdist's workers report text alone
    record = logging.makeLogRecord({"msg": "no %s", "args": (os.fsdecode(b"caf\xe9"),)})
    assert json.loads(JsonFormatter().format(record))["message"] == "no caf\udce9"


def test_the_time_of_a_json_line_is_exact_enough_to_tell_the_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.25)
    monkeypatch.setattr("time.time_ns", lambda: 1_800_000_000_250_000_000)
    assert json.loads(log_one(capsys, log_format="json"))["time"] == "2027-01-15T08:00:00.250+00:00"


def test_text_line(capsys: pytest.CaptureFixture[str]) -> None:
    first, *trace = log_one(capsys, log_format="text").splitlines()
    assert "WARNING" in first
    assert "part [the-id] 3 things" in first
    assert trace[-1] == "ValueError: planted"


def test_the_time_of_a_text_line_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        record = logging.makeLogRecord({"created": 0.25, "msecs": 250, "msg": "hello"})
        assert TextFormatter().format(record).startswith("1970-01-01 00:00:00.250Z ")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_level_is_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert log_one(capsys, log_level="error") == ""


def test_logging_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = (list(logging.getLogger().handlers), logging.getLogger().level)
    log_one(capsys, log_level="debug")
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
