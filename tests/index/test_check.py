"""The store notices what is done to it behind its back."""

from pathlib import Path

import numpy as np
import pytest

from index.errors import StoreDamaged
from index.gallery import GalleryStore
from tests.index.people import VERSION, behind_its_back, crowd, enrol, open_store, sample, vector

pytestmark = pytest.mark.databases


def problems(store: GalleryStore) -> str:
    return "\n".join(store.check().problems)


def test_a_whole_store_is_clean(folder: Path) -> None:
    with open_store(folder) as store:
        store.put_gallery("bare", store_images=False)
        enrol(store, crowd(30, identities=5, cameras=2))
        enrol(store, crowd(10, identities=5, cameras=2), gallery="bare")
        report = store.check()
        assert report.clean
        assert (report.samples, report.pictures, report.vectors) == (40, 30, 40)


@pytest.mark.parametrize(
    ("sql", "values", "told"),
    [
        (
            "UPDATE embeddings SET vector = :vector WHERE sample_id = 2",
            {"vector": vector(99).tobytes()},
            "sample {id} has another vector in the index",
        ),
        (
            "UPDATE embeddings SET vector = :vector WHERE sample_id = 2",
            {"vector": b"short"},
            "sample {id} has no whole embedding",
        ),
        (
            "UPDATE embeddings SET vector = :vector WHERE sample_id = 2",
            {"vector": np.full(16, np.nan, dtype=np.float32).tobytes()},
            "sample {id} has an embedding that is not finite",
        ),
        ("DELETE FROM embeddings WHERE sample_id = 2", {}, "sample {id} has no whole embedding"),
        ("UPDATE samples SET camera_id = NULL WHERE id = 2", {}, "sample {id} has old facts in the index"),
        ("UPDATE samples SET attributes = '{}' WHERE id = 2", {}, "sample {id} is not found by its own attributes"),
        ("UPDATE samples SET identity_id = 999 WHERE id = 2", {}, "points to nothing in identities"),
        ("UPDATE ledger SET last_sample = 1", {}, "above the last"),
        ("UPDATE samples SET gallery_id = 77 WHERE id = 2", {}, "holds sample 2, which is not in the catalogue"),
    ],
)
def test_a_damaged_row_is_told(folder: Path, database: str, sql: str, values: dict[str, object], told: str) -> None:
    if database == "postgresql" and "points to nothing" in told:
        pytest.skip("a server looks after its foreign keys itself")
    with open_store(folder) as store:
        ids = enrol(store, [sample(number, camera="c", attributes={"a": number}) for number in range(4)])
        behind_its_back(folder, sql, values)
        assert told.format(id=ids[1]) in problems(store)


@pytest.mark.databases("sqlite")
def test_damaged_attributes_are_told_and_can_be_replaced(folder: Path) -> None:
    with open_store(folder) as store:
        keys = enrol(store, [sample(number, attributes={"a": number}) for number in range(4)])
        behind_its_back(folder, "UPDATE samples SET attributes = '{\"a\"|2}' WHERE id = 2")
        told = f"the attributes of sample {keys[1]} are damaged: replace them, or delete it"
        assert store.check().problems == (f"gallery default: {told}",)
        with pytest.raises(StoreDamaged, match=told):
            store.get("default", keys[1])
        store.update("default", keys[1], {"attributes": {"a": 2}})
        assert store.check().clean


@pytest.mark.databases("sqlite")
def test_text_that_is_none_is_damage(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        behind_its_back(folder, "UPDATE identities SET name = CAST(x'70ff' AS TEXT)")
        with pytest.raises(StoreDamaged, match="restore it from a backup"):
            store.identities("default", limit=10)
        with pytest.raises(StoreDamaged, match="restore it from a backup"):
            store.search("default", vector(1)[None], model_version=VERSION)


def test_a_lost_and_an_altered_picture_are_told(folder: Path) -> None:
    with open_store(folder) as store:
        keys = enrol(store, [sample(1), sample(2), sample(3)])
        digests = [store.get("default", key).digest for key in keys]
        (folder / "pictures" / digests[0][:2] / digests[0]).unlink()
        (folder / "pictures" / digests[1][:2] / digests[1]).write_bytes(b"other")
        told = store.check().problems
        assert len(told) == 2
        assert any(digests[0] in line and keys[0] in line and "is missing" in line for line in told)
        assert any(digests[1] in line and "was altered" in line for line in told)
        store.rebuild()
        assert len(store.check().problems) == 2


def test_an_index_that_differs_is_told_and_rebuilt(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(20, identities=4, cameras=2))
        shard = store.indexes.serving.follower.shards[1]
        shard.vectors.remove(np.array([3]))
        shard.roster.kill(np.array([5]))
        assert problems(store).count("the index") == 2
        assert store.rebuild() == 20
        assert store.check().clean


def test_a_damaged_snapshot_is_told_and_rebuilt(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(20, identities=4, cameras=2))
    with open_store(folder) as store:
        file = folder / "reid.index" / "gallery-1.v1.snapshot"
        data = bytearray(file.read_bytes())
        data[-40] ^= 1
        file.write_bytes(data)
        assert "checksum" in problems(store)
        store.rebuild()
        assert store.check().clean
        assert file.exists()


def test_orphans_are_harmless_and_removed_by_a_rebuild(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, [sample(1)])
        orphan = folder / "pictures" / "ab" / ("ab" + "0" * 62)
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"orphan")
        report = store.check()
        assert (report.clean, report.pictures, report.orphans) == (True, 1, 1)
        assert store.rebuild() == 1
        assert not orphan.exists()
        report = store.check()
        assert (report.clean, report.pictures, report.orphans) == (True, 1, 0)


def test_a_long_list_of_problems_is_cut(folder: Path) -> None:
    with open_store(folder) as store:
        enrol(store, crowd(150, identities=4, cameras=2))
        behind_its_back(folder, "DELETE FROM embeddings")
        report = store.check()
        assert (len(report.problems), report.problems_in_all, report.clean) == (100, 150, False)
