import getpass
from pathlib import Path

import pytest

from app.cli.promotion import approve_promotion, caller
from model.errors import PromotionRefused
from model.registry import Registry
from tests.app.parts import VERSION, write_version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    write_version(tmp_path)
    write_version(tmp_path, "bare@1", calibration=None)
    return Registry(tmp_path)


def test_what_is_forced_is_signed_by_who_runs_the_command(registry: Registry) -> None:
    with pytest.raises(PromotionRefused, match="calibration: missing"):
        approve_promotion(registry, "bare@1", VERSION, force=False)
    promotion = approve_promotion(registry, "bare@1", VERSION, force=True)
    assert (promotion.forced, promotion.by) == (True, f"command line, {getpass.getuser()}")


def test_a_user_without_a_name_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert caller() == "command line"
