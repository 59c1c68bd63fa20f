"""From enrolled people to a model trained on them that serves, and back, by the doors that a user takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.application import create_app
from app.cli import main, migrations
from app.settings import load_settings
from model.parity import TOLERANCES
from model.registry import Registry
from model.synthetic import write_market
from model.training.checkpoint import load_checkpoint
from tests.app.server import serving
from tests.model.training.conftest import LOOSE

PEOPLE, CAMERAS, VIEWS = 20, 3, 3


@pytest.mark.filterwarnings("ignore")  # torch's exporter
def test_enrolled_corrected_exported_trained_registered_moved_and_moved_back(
    folder: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(TOLERANCES, "int8", LOOSE)
    monkeypatch.setattr(migrations, "_SERVICE_SECONDS", 0.0)  # no service runs beside
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REID_REGISTRY_DIR", str(tmp_path / "models"))
    registry = Registry(tmp_path / "models")
    registry.import_version(folder)
    registry.activate("tiny@1")

    def reid(*arguments: str | Path) -> Any:  # noqa: ANN401 - a verb's JSON
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert ended.value.code == 0, said.err
        return json.loads(said.out.splitlines()[-1]) if "--json" in arguments else None

    # enrol
    people = write_market(tmp_path / "people", train_identities=0, test_identities=PEOPLE, cameras=CAMERAS, views=VIEWS)
    reid("ingest", people, "--json")

    # correct: two names are one person, and one picture is somebody else's
    with serving(create_app(load_settings(log_level="warning"))) as client:
        names = [each["identity"] for each in client.get("/identities").json()["items"]]
        wrong = client.get("/gallery", params={"identity": names[2]}).json()["items"][0]["sample_id"]
        assert client.patch(f"/identities/{names[0]}", json={"identity": names[1]}).status_code == 200
        assert client.patch(f"/gallery/{wrong}", json={"identity": names[3]}).status_code == 200
        held = client.get("/gallery", params={"limit": 1000}).json()["items"]

    # export, train from the version that serves, register
    reid("gallery", "export-dataset", tmp_path / "set", "--json")
    data = ("--data", tmp_path / "set")
    reid("train", *data, "--recipe", recipe_file, "--weights", "tiny@1", "--out", tmp_path / "run", "--device", "cpu")
    assert load_checkpoint(tmp_path / "run").parent == "tiny@1"
    reid("export", *data, "--run", tmp_path / "run", "--out", tmp_path / "version", "--version", "tiny@2")
    reid("models", "import", tmp_path / "version")

    # move, by force: what two epochs make of a random network is worth nothing to the gate
    moved = reid("models", "activate", "tiny@2", "--force", "--json")
    assert (moved["active"], moved["state"]) == ("tiny@2", "switched")
    probe = next((tmp_path / "people" / "query").iterdir())
    assert reid("query", probe, "--json")["model_version"] == "tiny@2"

    # and back
    assert reid("migrations", "rollback", moved["migration_id"], "--json")["state"] == "rolled_back"
    found = reid("query", probe, "--json")
    assert (found["model_version"], found["searched"]) == ("tiny@1", len(held))
    assert reid("gallery", "check", "--json")["clean"]
    with serving(create_app(load_settings(log_level="warning"))) as client:
        assert client.get("/gallery", params={"limit": 1000}).json()["items"] == held
        assert names[0] not in [each["identity"] for each in client.get("/identities").json()["items"]]
