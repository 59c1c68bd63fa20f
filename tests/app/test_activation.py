from pathlib import Path

import pytest

from app.activation import Wish, begin
from app.engine import open_engine
from app.migrator import Migrator
from app.reembedding import embed_picture
from index.errors import MigrationRefused
from index.migration import BEFORE_SWITCH, State
from index.records import NewSample
from tests.app.moving import OTHER, two_versions
from tests.app.parts import VERSION, person, write_version


def test_a_sample_without_a_picture_moves_to_a_version_of_the_same_model_alone(tmp_path: Path) -> None:
    settings = two_versions(tmp_path)
    write_version(tmp_path / "models", "tiny@3", shift=90.7)
    with open_engine(settings) as engine:
        store = engine.gallery
        store.put_gallery("bare", store_images=False)
        vector = embed_picture(engine.model, person(1))
        store.enrol("bare", [NewSample("bob", vector, person(1))], model_version=VERSION)
        with pytest.raises(MigrationRefused, match="1 of gallery 'bare'"):
            begin(engine, Wish("tiny@3", "test", force=True))
        moving, migrator = begin(engine, Wish(OTHER, "test", force=True)), Migrator(engine)
        while (moving := store.migrations.get(moving.migration_id)).state in BEFORE_SWITCH:
            assert migrator.step()
        assert (moving.state, moving.left_out, moving.error) == (State.SWITCHED, 0, None)
        [answer] = store.search("bare", vector[None], model_version=OTHER)
        assert [each.identity for each in answer.identities] == ["bob"]
