import csv
from pathlib import Path

import numpy as np
import pytest

from model.training.audit import audit, write_list, write_sheet
from model.training.datasets.images import LabelledImages
from model.training.datasets.reading import read_dataset
from model.training.evaluation import Embedded


def clusters(identities: int = 30, each: int = 8, noise: float = 0.15) -> Embedded:
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(identities), each)
    x = rng.normal(size=(identities, 64))[names] / 8 + noise * rng.normal(size=(len(names), 64))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, names, np.zeros(len(names), dtype=np.int64))


def planted(images: Embedded, wrong: int) -> tuple[Embedded, dict[int, int]]:
    """Give some images another identity; return those with their right one."""
    rng = np.random.default_rng(1)
    chosen = rng.permutation(len(images))[:wrong].tolist()
    labels = images.identities.copy()
    labels[chosen] = (labels[chosen] + 7) % (labels.max() + 1)
    right = {index: int(images.identities[index]) for index in chosen}
    return Embedded(images.embeddings, labels, images.cameras), right


def test_planted_errors_come_first_with_their_right_identity() -> None:
    noisy, right = planted(clusters(), 24)
    found = audit(noisy, limit=24)
    assert {suspect.index for suspect in found} == set(right)
    assert all(suspect.suggested == right[suspect.index] for suspect in found)
    assert [suspect.margin for suspect in found] == sorted((suspect.margin for suspect in found), reverse=True)


def test_clean_and_clear_labels_are_not_suspected() -> None:
    assert audit(clusters(noise=0.05), limit=100) == []


def test_margins_by_plain_loops() -> None:
    noisy, _ = planted(clusters(identities=6), 5)
    x, labels = noisy.embeddings.astype(np.float64), noisy.identities
    for suspect in audit(noisy, limit=100):
        own = x[[i for i in np.flatnonzero(labels == suspect.identity) if i != suspect.index]].sum(axis=0)
        others = {
            name: float(x[suspect.index] @ (total := x[labels == name].sum(axis=0)) / np.linalg.norm(total))
            for name in set(labels.tolist()) - {suspect.identity}
        }
        best = max(others, key=lambda name: others[name])
        assert suspect.suggested == best
        assert suspect.margin == pytest.approx(others[best] - x[suspect.index] @ own / np.linalg.norm(own))


def test_the_only_image_of_an_identity_cannot_be_judged() -> None:
    images = clusters(identities=3)
    labels = images.identities.copy()
    labels[0] = 99
    found = audit(Embedded(images.embeddings, labels, images.cameras), limit=100)
    assert 0 not in {suspect.index for suspect in found}


def test_sheet_and_list_show_every_suspect(market: Path, tmp_path: Path) -> None:
    images = read_dataset(market).train
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(images), 8))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    suspects = audit(Embedded(unit, images.identities, images.cameras), limit=3)
    assert len(suspects) == 3
    write_sheet(suspects, images, tmp_path / "sheet.html")
    write_list(suspects, images, tmp_path / "list.csv")
    page = (tmp_path / "sheet.html").read_text()
    rows = list(csv.DictReader((tmp_path / "list.csv").read_text().splitlines()))
    assert page.count("<section>") == 3
    assert page.count("data:image/jpeg;base64,") > 3
    assert [row["path"] for row in rows] == [str(images.paths[suspect.index]) for suspect in suspects]


def test_nothing_suspect_is_said(tmp_path: Path) -> None:
    nothing = LabelledImages("made up", (), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    write_sheet([], nothing, tmp_path / "sheet.html")
    assert "None found" in (tmp_path / "sheet.html").read_text()
