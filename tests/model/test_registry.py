import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import model.registry
from model.card import InputContract, OutputContract, read_card, write_card
from model.errors import ContractError, RegistryError, VersionDamaged, VersionInUse, VersionNotFound
from model.registry import Registry, sha256
from model.triton import triton_config
from tests.tiny_model import build_graph, write_version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry over one bundled version, tiny@1."""
    write_version(tmp_path / "bundled" / "tiny" / "1")
    return Registry(tmp_path / "models", tmp_path / "bundled")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_version(tmp_path / "second", number=2)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_bundled_version_is_there_without_a_folder(registry: Registry) -> None:
    assert registry.versions() == ["tiny@1"]
    assert registry.active() == "tiny@1"
    assert not registry.root.exists()


def test_nothing_at_all_says_what_to_do(tmp_path: Path) -> None:
    empty = Registry(tmp_path / "models", tmp_path / "bundled")
    assert empty.versions() == []
    with pytest.raises(VersionNotFound, match="reid models import"):
        empty.active()


def test_the_newest_bundled_version_is_the_default(tmp_path: Path, registry: Registry) -> None:
    folder = write_version(tmp_path / "bundled" / "other" / "1", name="other")
    card = read_card(folder / "card.json")
    older = card.model_copy(update={"created": card.created.replace(year=2020)})
    newer = card.model_copy(update={"created": card.created.replace(year=2030)})
    write_card(older, folder / "card.json")
    assert registry.active() == "tiny@1"
    write_card(newer, folder / "card.json")
    assert registry.active() == "other@1"


def test_import_copies_the_version_and_writes_tritons_configuration(registry: Registry, second: Path) -> None:
    assert registry.import_version(second) == "tiny@2"
    assert registry.versions() == ["tiny@1", "tiny@2"]
    folder = registry.root / "tiny" / "2"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "card.json", "card.sha256", "config.pbtxt"}
    assert (folder / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    assert (registry.root / "tiny" / "config.pbtxt").read_text() == triton_config(registry.card("tiny@2"))


def test_importing_does_not_activate(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    assert registry.active() == "tiny@1"


def test_versions_are_sorted_by_number(tmp_path: Path, registry: Registry) -> None:
    for number in (10, 9, 100):
        registry.import_version(write_version(tmp_path / str(number), number=number))
    assert registry.versions() == ["tiny@1", "tiny@9", "tiny@10", "tiny@100"]


def test_importing_again_changes_nothing(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    before = contents(registry.root)
    assert registry.import_version(second) == "tiny@2"
    assert contents(registry.root) == before


def test_other_content_under_a_registered_version_is_refused(tmp_path: Path, registry: Registry, second: Path) -> None:
    registry.import_version(second)
    before = contents(registry.root)
    with pytest.raises(RegistryError, match="tiny@2 is registered with other content"):
        registry.import_version(write_version(tmp_path / "changed", number=2, dim=16))
    with pytest.raises(RegistryError, match="tiny@1 is registered with other content"):
        registry.import_version(write_version(tmp_path / "as-bundled", number=1, dim=16))
    assert contents(registry.root) == before


@pytest.mark.parametrize("name", ["model.onnx", "card.json"])
def test_importing_over_a_damaged_version_puts_it_right(registry: Registry, second: Path, name: str) -> None:
    registry.import_version(second)
    registry.activate("tiny@2")
    before = contents(registry.root)
    (registry.root / "tiny" / "2" / name).write_bytes(b"other")
    with pytest.raises(VersionDamaged, match=r"tiny@2: .*; `reid models import` of the version's file or folder puts"):
        registry.file("tiny@2")
    assert registry.import_version(second) == "tiny@2"
    assert contents(registry.root) == before
    assert registry.open("tiny@2", threads=1).version == "tiny@2"


def test_a_damaged_version_is_not_replaced_by_another_or_a_damaged_one(
    registry: Registry, second: Path, tmp_path: Path
) -> None:
    registry.import_version(second)
    (registry.root / "tiny" / "2" / "model.onnx").write_bytes(b"other")
    before = contents(registry.root)
    with pytest.raises(RegistryError, match="tiny@2 is registered with other content"):
        registry.import_version(write_version(tmp_path / "changed", number=2, dim=16))
    (second / "model.onnx").write_bytes(b"others")
    with pytest.raises(VersionDamaged):
        registry.import_version(second)
    assert contents(registry.root) == before


IMPORT_AND_DIE = """
import os
import sys
from pathlib import Path
from model.registry import Registry

left = int(sys.argv[4])

def audit(event, arguments):
    global left
    if event == "os.rename" and arguments[0].startswith(sys.argv[1]):
        if not left:
            os._exit(9)
        left -= 1

sys.addaudithook(audit)
Registry(Path(sys.argv[1]), Path(sys.argv[2])).import_version(Path(sys.argv[3]))
"""


@pytest.mark.parametrize("renames", range(4))
def test_putting_a_version_right_survives_being_killed(registry: Registry, second: Path, renames: int) -> None:
    registry.import_version(second)
    before = contents(registry.root)
    for name in ("model.onnx", "card.json"):
        (registry.root / "tiny" / "2" / name).write_bytes(b"other")
    places = [str(path) for path in (registry.root, registry.bundled, second)]
    assert subprocess.run([sys.executable, "-c", IMPORT_AND_DIE, *places, str(renames)]).returncode == 9
    assert (registry.root / "tiny" / "2").is_dir()
    registry.import_version(second)
    registry.activate("tiny@2")
    assert contents(registry.root) == before | {"active": b"tiny@2\n"}


def test_a_card_of_another_contract_is_refused(registry: Registry, second: Path) -> None:
    card = read_card(second / "card.json")
    write_card(card.model_copy(update={"output": OutputContract(dim=33)}), second / "card.json")
    with pytest.raises(ContractError, match="dim=33"):
        registry.import_version(second)
    assert registry.versions() == ["tiny@1"]


def test_a_file_of_another_hash_is_refused(registry: Registry, second: Path) -> None:
    expected = sha256(second / "model.onnx")
    (second / "model.onnx").write_bytes(b"other")
    found = sha256(second / "model.onnx")
    with pytest.raises(VersionDamaged, match=rf"model\.onnx with sha256 {expected}, found {found}"):
        registry.import_version(second)


@pytest.mark.parametrize("name", ["../escaped.onnx", "/etc/hostname", "a/b"])
def test_a_file_name_that_leaves_the_folder_is_refused(registry: Registry, second: Path, name: str) -> None:
    card = read_card(second / "card.json")
    write_card(card.model_copy(update={"files": card.files | {name: "0" * 64}}), second / "card.json")
    with pytest.raises(RegistryError, match="expected a file name"):
        registry.import_version(second)


def test_a_version_without_a_model_is_refused(registry: Registry, second: Path) -> None:
    card = read_card(second / "card.json")
    write_card(card.model_copy(update={"files": {}}), second / "card.json")
    with pytest.raises(RegistryError, match=r"expected model\.int8\.onnx or model\.onnx in tiny@2"):
        registry.import_version(second)


@pytest.mark.parametrize("text", [None, "", "{", "[1]", '{"version": "tiny@2"}'])
def test_a_folder_without_a_right_card_is_refused(registry: Registry, second: Path, text: str | None) -> None:
    card = second / "card.json"
    if text is None:
        card.unlink()
    else:
        card.write_text(text)
    with pytest.raises(RegistryError, match=r"card\.json"):
        registry.import_version(second)


def test_a_failure_in_the_middle_leaves_nothing(
    registry: Registry, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model.registry, "sync", full)
    with pytest.raises(RegistryError, match="No space left on device"):
        registry.import_version(second)
    assert registry.versions() == ["tiny@1"]
    assert [path.name for path in registry.root.iterdir()] == [".lock"]


def test_what_a_killed_import_left_is_cleared_by_the_next(registry: Registry, second: Path) -> None:
    left = registry.root / "tiny" / ".import-abc" / "3"
    left.mkdir(parents=True)
    (left / "card.json").write_text("half")
    assert registry.versions() == ["tiny@1"]
    registry.import_version(second)
    assert sorted(path.name for path in (registry.root / "tiny").iterdir()) == ["2", "config.pbtxt"]


def test_a_read_only_folder_is_told(registry: Registry, second: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(RegistryError, match="cannot be written"):
        registry.import_version(second)


def test_opening_gives_a_working_embedder(registry: Registry) -> None:
    embedder = registry.open("tiny@1", threads=1)
    assert (embedder.version, embedder.dim) == ("tiny@1", 32)
    assert embedder.embed(np.zeros((2, 32, 16, 3), np.uint8)).shape == (2, 32)


def test_int8_is_preferred_and_either_can_be_asked_for(tmp_path: Path, registry: Registry) -> None:
    both = write_version(tmp_path / "both", number=3, files=("model.onnx", "model.int8.onnx"))
    registry.import_version(both)
    assert registry.file("tiny@3").name == "model.int8.onnx"
    assert registry.file("tiny@3", "int8").name == "model.int8.onnx"
    assert registry.file("tiny@3", "fp32").name == "model.onnx"
    assert registry.file("tiny@1").name == "model.onnx"
    with pytest.raises(RegistryError, match=r"expected an int8 file in tiny@1, found model\.onnx"):
        registry.file("tiny@1", "int8")


def test_only_the_file_that_is_used_is_checked(tmp_path: Path, registry: Registry) -> None:
    registry.import_version(write_version(tmp_path / "both", number=3, files=("model.onnx", "model.int8.onnx")))
    (registry.root / "tiny" / "3" / "model.onnx").write_bytes(b"other")
    registry.open("tiny@3", threads=1)
    with pytest.raises(VersionDamaged):
        registry.open("tiny@3", precision="fp32", threads=1)


def test_a_version_of_the_package_is_kept_when_the_package_brings_another(registry: Registry) -> None:
    registry.keep("tiny@1")
    registry.keep("tiny@1")
    kept = sha256(registry.file("tiny@1"))
    shutil.rmtree(registry.bundled)
    write_version(registry.bundled / "tiny" / "2", number=2)
    assert registry.versions() == ["tiny@1", "tiny@2"]
    assert registry.open("tiny@1", threads=1).version == "tiny@1"
    assert sha256(registry.file("tiny@1")) == kept
    registry.activate("tiny@2")
    registry.remove("tiny@1")  # of the package no more
    assert registry.versions() == ["tiny@2"]


@pytest.mark.parametrize("name", ["model.onnx", "card.json"])
def test_the_package_stands_in_for_a_damaged_copy_of_it_and_mends_it(
    registry: Registry, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.keep("tiny@1")
    before = contents(registry.root)
    (registry.root / "tiny" / "1" / name).write_bytes(b"other")
    assert registry.active() == "tiny@1"
    assert registry.open("tiny@1", threads=1).version == "tiny@1"
    assert registry.checked_folder("tiny@1").is_relative_to(registry.bundled)
    assert f"expected {name}" in caplog.text or f"{name} is not" in caplog.text
    assert "the package's own is used instead" in caplog.text
    registry.keep("tiny@1")
    assert contents(registry.root) == before
    assert registry.checked_folder("tiny@1").is_relative_to(registry.root)


def test_importing_puts_a_damaged_copy_of_the_package_right(registry: Registry, tmp_path: Path) -> None:
    registry.keep("tiny@1")
    before = contents(registry.root)
    registry.export_version("tiny@1", tmp_path / "good.zip")
    for source in (tmp_path / "good.zip", registry.bundled / "tiny" / "1"):
        (registry.root / "tiny" / "1" / "model.onnx").write_bytes(b"other")
        registry.import_version(source)
        assert contents(registry.root) == before


@pytest.mark.parametrize("way", ["package", "import"])
def test_a_damaged_card_that_can_still_be_read_is_put_right(
    registry: Registry, second: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    version = "tiny@1" if way == "package" else "tiny@2"
    registry.keep(version) if way == "package" else registry.import_version(second)
    before, card = contents(registry.root), registry.card(version)
    path = registry.root / "tiny" / version[-1] / "card.json"
    path.write_text(path.read_text().replace('"seed": ', '"seed": 1'))
    if way == "package":
        assert registry.card(version) == card
        assert "the package's own is used instead" in caplog.text
        registry.keep(version)
    else:
        with pytest.raises(VersionDamaged, match="with the sha256 in card"):
            registry.card(version)
        registry.import_version(second)
    assert contents(registry.root) == before
    assert registry.card(version) == card


def test_the_package_does_not_stand_in_for_a_copy_with_another_card(registry: Registry) -> None:
    registry.keep("tiny@1")
    (registry.root / "tiny" / "1" / "model.onnx").write_bytes(b"other")
    before = contents(registry.root)
    write_version(registry.bundled / "tiny" / "1", dim=16)
    with pytest.raises(VersionDamaged, match="tiny@1"):
        registry.open("tiny@1", threads=1)
    with pytest.raises(RegistryError, match="tiny@1 is registered with other content"):
        registry.keep("tiny@1")
    assert contents(registry.root) == before


def test_a_whole_copy_is_kept_without_writing(registry: Registry) -> None:
    registry.keep("tiny@1")
    (registry.root / ".lock").unlink()
    (registry.root / ".lock").mkdir()  # nobody can write here now
    registry.keep("tiny@1")


def test_a_newer_version_is_one_of_the_same_name_and_a_higher_number(registry: Registry, tmp_path: Path) -> None:
    assert registry.newer("tiny@1") is None
    for number in (9, 10):
        registry.import_version(write_version(tmp_path / str(number), number=number))
    registry.import_version(write_version(tmp_path / "other", name="other", number=11))
    assert registry.newer("tiny@1") == "tiny@10"
    assert registry.newer("tiny@9") == "tiny@10"
    assert registry.newer("tiny@10") is None
    assert registry.newer("gone@1") is None


def test_what_is_kept_of_the_package_is_not_removed(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    registry.keep("tiny@2")  # is there already
    registry.keep("tiny@1")
    registry.activate("tiny@2")
    with pytest.raises(VersionInUse, match="tiny@1 comes with the package"):
        registry.remove("tiny@1")
    with pytest.raises(VersionNotFound):
        registry.keep("tiny@3")


def test_a_damaged_version_of_the_package_is_not_kept(registry: Registry) -> None:
    registry.file("tiny@1").write_bytes(b"other")
    with pytest.raises(VersionDamaged):
        registry.keep("tiny@1")
    assert not list(registry.root.glob("tiny/*"))


@pytest.mark.parametrize("version", ["nobody@9", "tiny@9", "tiny", "", "../tiny@1", "tiny@1\n", "TINY@1", "tiny@01"])
def test_an_unknown_version_is_told_with_those_there_are(registry: Registry, version: str) -> None:
    for call in (registry.card, registry.file, registry.open, registry.activate):
        with pytest.raises(VersionNotFound, match="expected a version out of tiny@1, found"):
            call(version)


def test_a_changed_byte_is_told_with_both_hashes(registry: Registry) -> None:
    path = registry.file("tiny@1")
    expected = sha256(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for call in (registry.file, registry.open, registry.activate):
        with pytest.raises(VersionDamaged, match=rf"tiny@1: .*model\.onnx .*{expected}, found {sha256(path)}"):
            call("tiny@1")


def test_a_missing_file_is_told(registry: Registry) -> None:
    registry.file("tiny@1").unlink()
    with pytest.raises(VersionDamaged, match=r"tiny@1: expected the file model\.onnx"):
        registry.open("tiny@1")


@pytest.mark.parametrize("text", [None, "", "{}", "\x00\x01"])
def test_a_damaged_version_does_not_hide_the_others(registry: Registry, second: Path, text: str | None) -> None:
    registry.import_version(second)
    card = registry.root / "tiny" / "2" / "card.json"
    if text is None:
        card.unlink()
    else:
        card.write_text(text)
    assert registry.versions() == ["tiny@1"]
    with pytest.raises(VersionDamaged, match=r"tiny@2: .*card\.json"):
        registry.card("tiny@2")


def test_a_card_in_another_versions_folder_is_damaged(registry: Registry, second: Path, tmp_path: Path) -> None:
    second.rename(tmp_path / "bundled" / "tiny" / "5")
    assert registry.versions() == ["tiny@1"]
    with pytest.raises(VersionDamaged, match=r"tiny@5: .* found the card of tiny@2"):
        registry.card("tiny@5")


def test_folders_that_are_no_versions_are_passed_over(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    for name in ("tiny/notes", "tiny/03", "Other/1", "tiny/2/deeper"):
        folder = registry.root / name
        folder.mkdir(parents=True)
        (folder / "card.json").write_text("{}")
    assert registry.versions() == ["tiny@1", "tiny@2"]


def test_activation_lasts(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    registry.activate("tiny@2")
    assert Registry(registry.root, registry.bundled).active() == "tiny@2"
    registry.activate("tiny@1")
    assert registry.active() == "tiny@1"
    assert stat.S_IMODE((registry.root / "active").stat().st_mode) == 0o644


def test_a_damaged_version_is_not_activated(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    (registry.root / "tiny" / "2" / "model.onnx").write_bytes(b"other")
    with pytest.raises(VersionDamaged):
        registry.activate("tiny@2")
    assert registry.active() == "tiny@1"


@pytest.mark.parametrize("text", ["", "nonsense\n", "../x@1", "\xff"])
def test_a_record_of_activation_that_is_no_version_is_told(registry: Registry, text: str) -> None:
    registry.root.mkdir()
    (registry.root / "active").write_text(text, encoding="latin-1")
    with pytest.raises(RegistryError, match="activate one again"):
        registry.active()


ACTIVATE_FOR_EVER = """
import sys
from pathlib import Path
from model.registry import Registry

registry = Registry(Path(sys.argv[1]), Path(sys.argv[2]))
while True:
    registry.activate("tiny@2")
    registry.activate("tiny@1")
"""


@pytest.mark.parametrize("delay", [0.0, 0.011, 0.03, 0.05])
def test_activation_survives_being_killed(registry: Registry, second: Path, delay: float) -> None:
    registry.import_version(second)
    pointer = registry.root / "active"
    command = [sys.executable, "-c", ACTIVATE_FOR_EVER, str(registry.root), str(registry.bundled)]
    with subprocess.Popen(command) as process:
        try:
            until = time.monotonic() + 60
            while not pointer.exists() and time.monotonic() < until:
                time.sleep(0.005)
            assert pointer.exists()
            until = time.monotonic() + delay
            while time.monotonic() < until:
                assert registry.active() in {"tiny@1", "tiny@2"}
        finally:
            process.kill()
    assert registry.active() in {"tiny@1", "tiny@2"}
    registry.activate("tiny@2")  # the killed one holds no lock
    assert registry.active() == "tiny@2"
    assert list(registry.root.glob(".active-*")) == []


def test_the_contract_of_the_file_is_the_cards(registry: Registry) -> None:
    assert registry.card("tiny@1").input == InputContract(height=32, width=16)
    path = registry.file("tiny@1")
    assert (
        path.read_bytes() == build_graph(InputContract(height=32, width=16), OutputContract(dim=32)).SerializeToString()
    )


def test_a_version_is_removed_and_can_be_imported_again(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    registry.remove("tiny@2")
    assert registry.versions() == ["tiny@1"]
    assert [path.name for path in registry.root.iterdir()] == [".lock"]
    with pytest.raises(VersionNotFound):
        registry.remove("tiny@2")
    assert registry.import_version(second) == "tiny@2"


def test_versions_that_are_needed_are_not_removed(registry: Registry, second: Path, tmp_path: Path) -> None:
    registry.import_version(second)
    registry.import_version(write_version(tmp_path / "third", number=3))
    with pytest.raises(VersionInUse, match="tiny@1 comes with the package"):
        registry.remove("tiny@1")
    registry.activate("tiny@2")
    with pytest.raises(VersionInUse, match="tiny@2 is the active version: activate another one first"):
        registry.remove("tiny@2")
    with pytest.raises(VersionInUse, match="tiny@3 cannot be removed: a gallery holds it"):
        registry.remove("tiny@3", lambda: {"tiny@3": "a gallery holds it", "tiny@9": "x"})
    assert registry.versions() == ["tiny@1", "tiny@2", "tiny@3"]
    registry.remove("tiny@3", lambda: {"tiny@9": "x"})
    assert registry.versions() == ["tiny@1", "tiny@2"]


def test_what_cannot_be_asked_keeps_the_version(registry: Registry, second: Path) -> None:
    def broken() -> dict[str, str]:
        raise ContractError("the catalogue does not answer")

    registry.import_version(second)
    with pytest.raises(ContractError):
        registry.remove("tiny@2", broken)
    assert registry.versions() == ["tiny@1", "tiny@2"]


def test_a_damaged_version_can_be_removed(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    (registry.root / "tiny" / "2" / "card.json").write_text("{}")
    registry.remove("tiny@2")
    registry.import_version(second)
    assert registry.file("tiny@2").name == "model.onnx"


def test_what_a_killed_removal_left_is_cleared_by_the_next_write(
    registry: Registry, second: Path, tmp_path: Path
) -> None:
    registry.import_version(second)
    registry.import_version(write_version(tmp_path / "third", number=3, dim=16))
    (registry.root / "tiny" / "3").rename(registry.root / "tiny" / ".remove-3")
    assert registry.versions() == ["tiny@1", "tiny@2"]
    registry.activate("tiny@1")
    assert sorted(path.name for path in (registry.root / "tiny").iterdir()) == ["2", "config.pbtxt"]
    assert (registry.root / "tiny" / "config.pbtxt").read_text() == triton_config(registry.card("tiny@2"))


def test_a_file_that_the_card_does_not_list_is_not_served_beside(registry: Registry, second: Path) -> None:
    registry.import_version(second)
    (registry.root / "tiny" / "2" / "weights.bin").write_bytes(b"read by the graph, and hashed by nobody")
    with pytest.raises(VersionDamaged, match=r"tiny@2: expected .*model\.onnx in its folder, found weights\.bin"):
        registry.open("tiny@2")


def test_what_the_card_does_not_list_is_not_imported(registry: Registry, second: Path) -> None:
    (second / "notes.txt").write_text("mine")
    registry.import_version(second)
    assert not (registry.root / "tiny" / "2" / "notes.txt").exists()


def test_a_version_may_be_asked_for(registry: Registry, second: Path) -> None:
    with pytest.raises(RegistryError, match="expected tiny@5, found the card of tiny@2"):
        registry.import_version(second, expected="tiny@5")
    assert registry.import_version(second, expected="tiny@2") == "tiny@2"


def test_weights_to_train_on_from_are_hashed_as_well(registry: Registry, second: Path) -> None:
    with pytest.raises(RegistryError, match=r"expected weights\.safetensors in tiny@1, found model\.onnx"):
        registry.weights("tiny@1")
    (second / "weights.safetensors").write_bytes(b"weights")
    card = read_card(second / "card.json")
    digest = sha256(second / "weights.safetensors")
    write_card(card.model_copy(update={"files": {**card.files, "weights.safetensors": digest}}), second / "card.json")
    registry.import_version(second)
    assert registry.weights("tiny@2") == registry.root / "tiny" / "2"
    (registry.root / "tiny" / "2" / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(VersionDamaged, match=r"weights\.safetensors with sha256"):
        registry.weights("tiny@2")
