import csv
from pathlib import Path

import numpy as np

from model.labels import find_suspects
from model.training.datasets.images import LabelledImages
from model.training.datasets.reading import read_dataset
from model.training.suspects import write_list, write_sheet


def test_sheet_and_list_show_every_suspect(market: Path, tmp_path: Path) -> None:
    images = read_dataset(market).train
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(images), 8))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    suspects = find_suspects(unit, images.identities, limit=3)
    assert len(suspects) == 3
    write_sheet(suspects, images, tmp_path / "sheet.html", found=17)
    write_list(suspects, images, tmp_path / "list.csv")
    page = (tmp_path / "sheet.html").read_text()
    rows = list(csv.DictReader((tmp_path / "list.csv").read_text().splitlines()))
    assert page.count("<section>") == 3
    told = f"17 of {len(images)} images look more like another identity than like their own; the worst 3 are shown."
    assert told in " ".join(page.split())
    assert page.count("data:image/jpeg;base64,") > 3
    assert [row["path"] for row in rows] == [str(images.paths[suspect.index]) for suspect in suspects]


def test_nothing_suspect_is_said(tmp_path: Path) -> None:
    nothing = LabelledImages("made up", (), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    write_sheet([], nothing, tmp_path / "sheet.html", found=0)
    assert "None found" in (tmp_path / "sheet.html").read_text()
