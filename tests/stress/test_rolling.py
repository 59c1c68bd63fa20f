"""Twenty rolling restarts under load."""

from pathlib import Path

import pytest

from model.registry import Registry
from tests.app.cli.rolling import restart_each, why_not
from tests.app.parts import VERSION, write_version

pytestmark = [pytest.mark.stress, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


def test_no_request_fails_in_twenty_rolling_restarts(tmp_path: Path) -> None:
    registry = tmp_path / "data" / "models"
    write_version(registry)
    Registry(registry).activate(VERSION)
    told, missing = restart_each(tmp_path, tmp_path / "data", rounds=10, callers=8)
    assert set(told) == {"200", "201"}, told
    assert missing == 0
