import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.errors import RegistryError
from model.history import HISTORY, Promotion
from model.registry import Registry

PROMOTION = Promotion(version="tiny@2", replaced="tiny@1", at=datetime(2026, 1, 1, tzinfo=UTC), by="x", forced=False)


def test_nothing_is_there_before_the_first(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    assert registry.promotions() == ()
    assert not registry.root.exists()


def test_promotions_are_kept_in_order(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for number in (1, 2, 3):
        registry.record_promotion(PROMOTION.model_copy(update={"version": f"tiny@{number}"}))
    assert [each.version for each in registry.promotions()] == ["tiny@1", "tiny@2", "tiny@3"]
    assert registry.promotions("tiny@2") == (PROMOTION,)
    assert registry.versions() == Registry(tmp_path / "other").versions()  # the file is no version


@pytest.mark.parametrize("text", ["{", '{"version": "tiny@2"}\n', "\n"])
def test_a_damaged_history_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / HISTORY).write_text(text)
    with pytest.raises(RegistryError, match=r"promotions\.jsonl of the registry is damaged: mend or remove it"):
        Registry(tmp_path).promotions()


RECORD_FOR_EVER = """
import sys
from pathlib import Path
from model.registry import Registry
from tests.model.test_history import PROMOTION

registry = Registry(Path(sys.argv[1]))
while True:
    registry.record_promotion(PROMOTION)
    print("done", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.007, 0.019])
def test_no_record_is_lost_by_a_kill(tmp_path: Path, delay: float) -> None:
    registry = Registry(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", RECORD_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        answered = 1 + len(process.stdout.read().splitlines())
    assert answered <= len(registry.promotions()) <= answered + 1
    registry.record_promotion(PROMOTION)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", HISTORY]
