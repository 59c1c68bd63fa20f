from pathlib import Path

import pytest

from tests.app.cli.conftest import Reid


@pytest.mark.parametrize("verb", [("keys", "list"), ("gallery", "stats"), ("migrations", "list")])
def test_a_data_folder_that_a_verb_makes_is_told_once(reid: Reid, tmp_path: Path, verb: tuple[str, str]) -> None:
    told = f"there was no data folder {tmp_path}/data: this makes one, empty; REID_DATA_DIR names another"
    assert reid(*verb).err == f"reid: {told}\n"
    assert reid(*verb).err == ""


def test_a_catalogue_elsewhere_needs_no_such_word(reid: Reid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    (tmp_path / "other.db").touch()
    assert reid("keys", "list").err == ""
