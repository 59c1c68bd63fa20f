import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from model.training.datasets.reading import read_dataset
from model.training.evaluation import Embedded
from model.training.recipe import read_recipe
from model.training.report import (
    REPORT,
    Trained,
    drawn,
    rank1_between_cameras,
    worst,
    write_report,
)


class Page(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def embedded(identities: int = 6, seed: int = 0) -> Embedded:
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(identities), 4)
    x = rng.normal(size=(identities, 8))[names] + 0.8 * rng.normal(size=(len(names), 8))
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, names, np.tile([1, 1, 2, 3], identities))


def test_a_trained_run_has_its_report_in_one_file(run: Path) -> None:
    page = Page((run / REPORT).read_text())
    assert len(page.named("svg")) >= 5
    sources = [attributes.get("src") or "" for attributes in page.named("img")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert base64.b64decode(sources[0].partition(",")[2])[:2] == b"\xff\xd8"
    assert not page.named("script")
    assert not page.named("link")
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")]
    assert not [link for link in links if link and re.match(r"(https?:)?//", link)]


def test_the_worst_come_first_and_what_has_no_answer_never() -> None:
    precision = np.array([0.5, np.nan, 0.1, 0.9])
    assert worst(precision).tolist() == [2, 0, 3]
    assert sorted(drawn(precision, 0).tolist()) == [0, 2, 3]


def test_rank_one_between_cameras_by_hand() -> None:
    images = embedded()
    cameras, table = rank1_between_cameras(images)
    assert cameras == [1, 2, 3]
    assert np.isnan(np.diag(table)).all()
    asked, searched = (np.flatnonzero(images.cameras == camera) for camera in (1, 2))
    nearest = searched[(images.embeddings[asked] @ images.embeddings[searched].T).argmax(axis=1)]
    assert table[0, 1] == pytest.approx(100 * np.mean(images.identities[asked] == images.identities[nearest]))


def test_names_in_recipe_and_data_cannot_become_markup(market: Path, recipe_file: Path, tmp_path: Path) -> None:
    images = read_dataset(market).train.first(24)
    recipe = read_recipe(str(recipe_file)).model_copy(update={"name": "<script>alert(1)</script>"})
    write_report(Trained(recipe, [], images, embedded()), tmp_path / REPORT)
    text = (tmp_path / REPORT).read_text()
    assert not Page(text).named("script")
    assert "&lt;script&gt;" in text
