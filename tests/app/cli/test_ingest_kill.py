from pathlib import Path

from model.synthetic import write_market
from tests.app.cli.killing import survive


def test_nothing_acknowledged_is_lost_by_kill_9(data_dir: Path, tmp_path: Path) -> None:
    source = write_market(tmp_path / "tree", train_identities=0, test_identities=8, cameras=4, views=3)
    told = survive(data_dir, source, kills=3, batch_size=4, seed=3)
    assert told.kills == 3
