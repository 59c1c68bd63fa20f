"""A rolling restart that no client notices."""

from pathlib import Path

import pytest

from tests.app.cli.rolling import restart_each, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def test_no_request_fails_while_two_services_are_restarted_in_turn(tmp_path: Path, data_dir: Path) -> None:
    told, missing = restart_each(tmp_path, data_dir, rounds=1, callers=4)
    assert set(told) == {"200", "201"}, told
    assert missing == 0
