from pathlib import Path

import pytest

from model.registry import Registry
from model.synthetic import write_market
from tests.app.cli.killing import survive
from tests.app.parts import VERSION, write_version


@pytest.mark.stress
def test_twenty_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    write_version(data_dir / "models")
    Registry(data_dir / "models").activate(VERSION)
    source = write_market(tmp_path / "tree", train_identities=0, test_identities=80, cameras=6, views=3)
    told = survive(data_dir, source, kills=20, batch_size=2, seed=20)
    assert told.kills == 20
    assert told.kills_after_lines >= 10
