"""A data folder that can move from one version to another."""

from pathlib import Path

from app.engine import open_engine
from app.reembedding import embed_picture
from app.settings import Settings
from index.records import NewSample
from tests.app.parts import VERSION, person, tiny_settings, write_version

OTHER = "tiny@2"


def two_versions(folder: Path) -> Settings:
    """Return settings of a data folder with two versions, in which one person is enrolled with the first."""
    for version in (VERSION, OTHER):
        write_version(folder / "models", version)
    (folder / "models" / "active").write_text(VERSION)
    settings = tiny_settings(folder, model=None)
    with open_engine(settings) as engine:
        vector = embed_picture(engine.model, person(0))
        engine.gallery.enrol("default", [NewSample("anna", vector, person(0))], model_version=VERSION)
    return settings
