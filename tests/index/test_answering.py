"""A shortlist: a ranking with what it compared."""

from pathlib import Path

import numpy as np
import pytest

from index.errors import DimensionMismatch
from index.gallery import GalleryStore
from index.records import SampleFilter
from index.vectors import IndexOptions
from tests.index.people import DIM, VERSION, crowd, enrol, open_store, vector, vectors


@pytest.mark.parametrize(("top_k", "best"), [(3, 2), (100, 5), (4, 0)])
def test_a_shortlist_is_a_ranking_with_its_samples_embeddings(store: GalleryStore, top_k: int, best: int) -> None:
    enrol(store, crowd(120, identities=12, cameras=3))
    where = SampleFilter(exclude_cameras=frozenset({"c1"}))
    options = {"top_k": top_k, "samples_per_identity": best}
    found = store.shortlist("default", vector(7), model_version=VERSION, where=where, **options)
    (ranking,) = store.search("default", vectors(1, 7), model_version=VERSION, where=where, **options)
    assert found.ranking == ranking
    shown = [item.sample.sample_id for person in ranking.identities for item in person.samples]
    known = store.embeddings("default", shown, model_version=VERSION)
    assert found.embeddings.tolist() == [known[sample_id].tolist() for sample_id in shown]


def test_a_shortlist_holds_embeddings_as_they_were_enrolled(folder: Path) -> None:
    with open_store(folder, index=IndexOptions(storage="float16")) as store:
        enrol(store, crowd(40, identities=40, cameras=1))
        found = store.shortlist("default", vector(7), model_version=VERSION, samples_per_identity=1)
        scores = [person.score for person in found.ranking.identities]
        np.testing.assert_allclose(found.embeddings.astype(np.float64) @ vector(7), scores, atol=1e-7)


def test_the_shortlist_of_an_empty_gallery_is_empty(store: GalleryStore) -> None:
    found = store.shortlist("default", vector(7), model_version=VERSION)
    assert found.ranking.identities == ()
    assert found.embeddings.shape == (0, DIM)


def test_a_shortlist_is_for_one_embedding(store: GalleryStore) -> None:
    with pytest.raises(DimensionMismatch):
        store.shortlist("default", vectors(2, 1), model_version=VERSION)


def test_embeddings_are_those_of_the_gallery_that_was_named(store: GalleryStore) -> None:
    store.put_gallery("other")
    ours = enrol(store, crowd(20, identities=5, cameras=2))
    theirs = enrol(store, crowd(20, identities=5, cameras=2, seed=1), "other")
    assert set(store.embeddings("other", [*ours, *theirs], model_version=VERSION)) == set(theirs)
