import logging
import os
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

from model.card import read_card, write_card
from model.errors import ExchangeError, RegistryError, VersionDamaged
from model.mlflow_registry import MlflowRegistry
from model.registry import Registry
from tests.tiny_model import write_version

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where its store puts artefacts
    return f"sqlite:///{tmp_path}/mlflow.db"


def registry_with(folder: Path, *numbers: int) -> Registry:
    registry = Registry(folder / "models", folder / "bundled")
    for number in numbers:
        registry.import_version(write_version(folder / f"v{number}", number=number))
    return registry


def contents(registry: Registry) -> dict[str, bytes]:
    root = registry.root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_version_goes_there_and_comes_back(server: str, tmp_path: Path) -> None:
    mine, other = registry_with(tmp_path / "a", 3), registry_with(tmp_path / "b")
    pushed = MlflowRegistry(server).push(mine, "tiny@3")
    assert (pushed.name, pushed.number, pushed.added) == ("tiny", "1", True)
    assert MlflowRegistry(server).pull(other, "tiny@3") == "tiny@3"
    assert contents(other) == contents(mine)
    found = MlflowClient(server).get_model_version("tiny", "1")
    assert found.tags["reid.version"] == "tiny@3"
    assert found.description == mine.card("tiny@3").terms


def test_pushing_again_adds_nothing(server: str, tmp_path: Path) -> None:
    mine = registry_with(tmp_path / "a", 1)
    MlflowRegistry(server).push(mine, "tiny@1")
    again = MlflowRegistry(server).push(mine, "tiny@1")
    assert (again.number, again.added) == ("1", False)
    assert len(MlflowClient(server).search_model_versions("name = 'tiny'")) == 1


def test_other_content_under_a_pushed_version_is_refused(server: str, tmp_path: Path) -> None:
    MlflowRegistry(server).push(registry_with(tmp_path / "a", 1), "tiny@1")
    other = Registry(tmp_path / "b", tmp_path / "none")
    other.import_version(write_version(tmp_path / "changed", dim=16))
    with pytest.raises(ExchangeError, match=r"tiny@1 is in MLflow's registry with other content.*a new number"):
        MlflowRegistry(server).push(other, "tiny@1")


def test_the_latest_and_an_alias_are_found(server: str, tmp_path: Path) -> None:
    mine = registry_with(tmp_path / "a", 1, 2)
    there = MlflowRegistry(server)
    for version in ("tiny@2", "tiny@1"):
        there.push(mine, version)
    MlflowClient(server).set_registered_model_alias("tiny", "champion", "1")
    assert there.pull(registry_with(tmp_path / "b"), "tiny@champion") == "tiny@2"
    assert there.pull(registry_with(tmp_path / "c"), "tiny") == "tiny@1"  # pushed last


@pytest.mark.parametrize("wanted", ["tiny@9", "nobody", "nobody@1", "it's", "tiny@", ""])
def test_what_is_not_there_is_told_with_what_is(server: str, tmp_path: Path, wanted: str) -> None:
    MlflowRegistry(server).push(registry_with(tmp_path / "a", 1), "tiny@1")
    with pytest.raises(ExchangeError, match=r"MLflow's registry, found"):
        MlflowRegistry(server).pull(registry_with(tmp_path / "b"), wanted)


def test_an_alias_that_nobody_set_is_told(server: str, tmp_path: Path) -> None:
    MlflowRegistry(server).push(registry_with(tmp_path / "a", 1), "tiny@1")
    with pytest.raises(ExchangeError, match="champion"):
        MlflowRegistry(server).pull(registry_with(tmp_path / "b"), "tiny@champion")


def test_somebody_elses_model_is_not_taken(server: str, tmp_path: Path) -> None:
    client = MlflowClient(server)
    client.create_registered_model("tiny")
    client.create_model_version("tiny", str(tmp_path))
    with pytest.raises(ExchangeError, match="expected a version out of none in MLflow's registry, found tiny"):
        MlflowRegistry(server).pull(registry_with(tmp_path / "b"), "tiny")


def test_what_was_changed_there_is_refused(server: str, tmp_path: Path) -> None:
    MlflowRegistry(server).push(registry_with(tmp_path / "a", 1), "tiny@1")
    [stored] = tmp_path.glob("mlruns/**/model.onnx")
    stored.write_bytes(b"other")
    other = registry_with(tmp_path / "b")
    with pytest.raises(VersionDamaged, match=r"model\.onnx with sha256"):
        MlflowRegistry(server).pull(other, "tiny@1")
    assert other.versions() == []
    card = stored.with_name("card.json")
    write_card(read_card(card).model_copy(update={"version": "tiny@7"}), card)
    with pytest.raises(RegistryError, match="expected tiny@1, found the card of tiny@7"):
        MlflowRegistry(server).pull(other, "tiny@1")


def test_a_damaged_version_is_not_pushed(server: str, tmp_path: Path) -> None:
    mine = registry_with(tmp_path / "a", 1)
    mine.file("tiny@1").write_bytes(b"other")
    with pytest.raises(VersionDamaged):
        MlflowRegistry(server).push(mine, "tiny@1")
    assert MlflowClient(server).search_registered_models() == []


def test_server_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=r"MLflow's registry at http://\*\*\*@127\.0\.0\.1:9: ") as failure:
        MlflowRegistry("http://someone:secret@127.0.0.1:9").pull(registry_with(tmp_path), "tiny")
    assert "secret" not in str(failure.value)
    assert len(str(failure.value)) < 300


def test_nothing_is_printed_beside_what_we_say(server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """mlflow would print a run's address as it was given, with its password; to a file it prints none."""
    logging.getLogger("mlflow").setLevel(logging.INFO)  # as mlflow does when it is imported
    MlflowRegistry(server).push(registry_with(tmp_path / "a", 1), "tiny@1")
    assert capfd.readouterr().out == ""
    assert os.environ[MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.name] == "true"
    assert not logging.getLogger("mlflow").isEnabledFor(logging.INFO)
