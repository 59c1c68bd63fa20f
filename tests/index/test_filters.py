"""Every filter, in queries and in listings, against a plain reading of the contract."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import attribute_rows
from index.gallery import GalleryStore
from index.records import Sample, SampleFilter
from tests.index.people import NOON, VERSION, crowd, enrol, sample, vectors

pytestmark = pytest.mark.databases
CAMERAS = st.frozensets(st.sampled_from(["c0", "c1", "c2", "unknown"]))
TIMES = st.none() | st.integers(-60, 660).map(lambda minutes: NOON + timedelta(minutes=minutes))
FILTERS = st.builds(
    SampleFilter,
    cameras=CAMERAS,
    exclude_cameras=CAMERAS,
    captured_after=TIMES,
    captured_before=TIMES,
    attributes=st.fixed_dictionaries(
        {}, optional={"side": st.sampled_from(["left", "none"]), "age": st.integers(0, 3)}
    ),
    identity=st.none() | st.sampled_from(["p1", "nobody"]),
)


def passes(item: Sample, where: SampleFilter) -> bool:
    if where.cameras and item.camera not in where.cameras:
        return False
    if item.camera is not None and item.camera in where.exclude_cameras:
        return False
    if where.captured_after is not None and (item.captured_at is None or item.captured_at < where.captured_after):
        return False
    if where.captured_before is not None and (item.captured_at is None or item.captured_at >= where.captured_before):
        return False
    if where.identity is not None and item.identity != where.identity:
        return False
    return all(item.attributes.get(key) == value for key, value in where.attributes.items())


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS)
def test_a_filter_lets_through_what_the_contract_says(filled: GalleryStore, where: SampleFilter) -> None:
    everything = filled.page("default", SampleFilter(), limit=1000).items
    expected = [item.sample_id for item in everything if passes(item, where)]
    assert [item.sample_id for item in filled.page("default", where, limit=1000).items] == expected
    (answer,) = filled.search(
        "default", vectors(1, 5), model_version=VERSION, where=where, top_k=1000, samples_per_identity=100
    )
    assert answer.searched == len(expected)
    shown = [item.sample.sample_id for person in answer.identities for item in person.samples]
    assert sorted(shown) == expected


def test_a_filter_costs_no_recall(filled: GalleryStore) -> None:
    query = vectors(1, 9)
    where = SampleFilter(exclude_cameras=frozenset({"c1"}), captured_after=NOON + timedelta(hours=5))
    (everyone,) = filled.search("default", query, model_version=VERSION, top_k=1000, samples_per_identity=100)
    (some,) = filled.search("default", query, model_version=VERSION, where=where, top_k=1000, samples_per_identity=100)
    scores = {item.sample.sample_id: item.score for person in everyone.identities for item in person.samples}
    passed = {key for key in scores if passes(filled.get("default", key), where)}
    assert {item.sample.sample_id: item.score for person in some.identities for item in person.samples} == {
        key: scores[key] for key in passed
    }


@pytest.fixture
def filled(store: GalleryStore) -> GalleryStore:
    enrol(store, crowd(200, identities=20, cameras=3, seed=3))
    return store


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("stored", "asked", "matches"),
    [
        ({"a": True}, {"a": True}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1.5}, {"a": 1.5}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({"a": {"x": [1, {"y": 2}]}}, {"a": {"x": [1.0, {"y": 2}]}}, True),
        ({"a": {"x": 1, "z": 2}}, {"a": {"x": 1}}, False),
        ({"a": 1, "b": 2}, {"b": 2}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a.b": "$[0]"}, {"a.b": "$[0]"}, True),
        ({"": ""}, {"": ""}, True),
        ({'"': "'"}, {'"': "'"}, True),
    ],
)
def test_attributes_are_equal_as_json_is(
    store: GalleryStore, stored: dict[str, Any], asked: dict[str, Any], matches: bool
) -> None:
    enrol(store, [sample(1, attributes=stored)])
    assert json.dumps(store.page("default", SampleFilter(), limit=1).items[0].attributes) == json.dumps(stored)
    (answer,) = store.search("default", vectors(1), model_version=VERSION, where=SampleFilter(attributes=asked))
    assert answer.searched == int(matches)
    assert len(store.page("default", SampleFilter(attributes=asked), limit=5).items) == int(matches)


def test_names_in_filters_are_normalised(store: GalleryStore) -> None:
    enrol(store, [sample(1, "Zo\u00eb", camera="caf\u00e9"), sample(2)])
    where = SampleFilter(identity="Zoe\u0308", cameras=frozenset({"cafe\u0301"}))
    assert len(store.page("default", where, limit=5).items) == 1
    assert store.search("default", vectors(1), model_version=VERSION, where=where)[0].searched == 1


def test_filters_of_one_gallery_do_not_reach_into_another(store: GalleryStore) -> None:
    store.put_gallery("other")
    enrol(store, [sample(1, camera="c1", attributes={"a": 1})])
    enrol(store, [sample(2, camera="c1", attributes={"a": 1})], gallery="other")
    where = SampleFilter(cameras=frozenset({"c1"}), attributes={"a": 1})
    for name in ("default", "other"):
        assert len(store.page(name, where, limit=5).items) == 1
        assert store.search(name, vectors(1), model_version=VERSION, where=where)[0].searched == 1
    assert np.isfinite(store.search("other", vectors(1), model_version=VERSION)[0].identities[0].score)


def test_attributes_are_followed_while_samples_come_change_and_go(store: GalleryStore) -> None:
    random = np.random.default_rng(0)
    where = SampleFilter(attributes={"side": "left"})
    keys: list[str] = []
    for step in range(40):
        items = crowd(int(random.integers(1, 6)), identities=5, cameras=2, seed=step)
        keys += enrol(store, [replace(item, picture=b"%d %d" % (step, place)) for place, item in enumerate(items)])
        for key in random.choice(keys, size=min(3, len(keys)), replace=False).tolist():
            store.update("default", key, {"attributes": {"side": ["left", "right"][random.integers(2)]}})
        store.delete("default", keys.pop(int(random.integers(len(keys)))))
        everything = store.page("default", SampleFilter(), limit=1000).items
        expected = [item.sample_id for item in everything if passes(item, where)]
        assert [item.sample_id for item in store.page("default", where, limit=1000).items] == expected


def test_a_sample_behind_many_changes_of_few_others_is_found_by_its_attribute(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute_rows, "_MOST_TOUCHED", 2)
    (key,) = enrol(store, [sample(1)])
    where = SampleFilter(attributes={"door": "north"})
    assert store.page("default", where, limit=10).items == ()
    for camera in range(10):
        store.update("default", key, {"camera": f"c{camera}"})
    (guest,) = enrol(store, [sample(2, attributes={"door": "north"})])
    assert [item.sample_id for item in store.page("default", where, limit=10).items] == [guest]
    others = enrol(store, [sample(number, attributes={"door": "north"}) for number in range(3, 8)])
    assert [item.sample_id for item in store.page("default", where, limit=10).items] == [guest, *others]
