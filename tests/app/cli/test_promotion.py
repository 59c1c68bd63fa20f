import getpass
import json
from pathlib import Path

import pytest

from app.cli.promotion import caller
from tests.app.cli.conftest import Reid
from tests.app.parts import VERSION, write_version


def test_a_version_that_lacks_something_is_activated_by_force_alone(reid: Reid, data_dir: Path) -> None:
    write_version(data_dir / "models", "bare@1", calibration=None)
    refused = reid("models", "activate", "bare@1")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "calibration: missing" in refused.err
    assert "--force" in refused.err
    assert json.loads(reid("models", "list", "--json").out)["active"] == VERSION
    assert json.loads(reid("models", "show", "bare@1", "--json").out)["promotions"] == []

    assert reid("models", "activate", "bare@1", "--force").code == 0
    assert json.loads(reid("models", "list", "--json").out)["active"] == "bare@1"
    [promotion] = json.loads(reid("models", "show", "bare@1", "--json").out)["promotions"]
    assert (promotion["replaced"], promotion["forced"]) == (VERSION, True)
    assert promotion["by"] == f"command line, {getpass.getuser()}"
    assert "calibration: missing" in promotion["reasons"][0]


def test_a_user_without_a_name_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert caller() == "command line"
