import io
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import ModelError, RegistryError, VersionDamaged
from model.registry import Registry, sha256
from tests.tiny_model import write_version

Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    write_version(tmp_path / "bundled" / "tiny" / "1")
    return Registry(tmp_path / "models", tmp_path / "bundled")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_version(tmp_path / "second", number=2, files=("model.onnx", "model.int8.onnx"))


@pytest.fixture
def archive(tmp_path: Path, second: Path) -> Path:
    """A version's file, from another registry."""
    other = Registry(tmp_path / "other", tmp_path / "bundled")
    other.import_version(second)
    other.export_version("tiny@2", tmp_path / "tiny-2.zip")
    return tmp_path / "tiny-2.zip"


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")} - {".lock"} if root.exists() else set()


def test_a_version_goes_through_one_file(registry: Registry, second: Path, archive: Path) -> None:
    assert registry.import_version(archive) == "tiny@2"
    for name in ("card.json", "model.onnx", "model.int8.onnx"):
        assert (registry.root / "tiny" / "2" / name).read_bytes() == (second / name).read_bytes()
    assert registry.open("tiny@2", threads=1).dim == 32
    assert registry.import_version(archive) == "tiny@2"


def test_the_same_version_gives_the_same_bytes(registry: Registry, archive: Path, tmp_path: Path) -> None:
    registry.import_version(archive)
    registry.export_version("tiny@2", tmp_path / "again.zip")
    assert sha256(tmp_path / "again.zip") == sha256(archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["card.json", "model.int8.onnx", "model.onnx"]
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_bundled_version_can_be_exported(registry: Registry, tmp_path: Path) -> None:
    registry.export_version("tiny@1", tmp_path / "one.zip")
    elsewhere = Registry(tmp_path / "elsewhere", tmp_path / "none")
    assert elsewhere.import_version(tmp_path / "one.zip") == "tiny@1"


def test_a_file_that_is_there_is_not_written_over(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_text("mine")
    with pytest.raises(RegistryError, match=r"expected a new file, found mine\.zip"):
        registry.export_version("tiny@1", tmp_path / "mine.zip")
    assert (tmp_path / "mine.zip").read_text() == "mine"
    with pytest.raises(RegistryError, match=r"mine\.zip cannot be written: No such file or directory"):
        registry.export_version("tiny@1", tmp_path / "nowhere" / "mine.zip")


def test_a_damaged_version_is_not_exported(registry: Registry, tmp_path: Path) -> None:
    registry.file("tiny@1").write_bytes(b"other")
    with pytest.raises(VersionDamaged):
        registry.export_version("tiny@1", tmp_path / "one.zip")
    assert not (tmp_path / "one.zip").exists()


def entries(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        return [(entry, opened.read(entry)) for entry in opened.infolist()]


def written(content: Entries) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for entry, data in content:
            entry.file_size = entry.compress_size = entry.header_offset = 0
            made.writestr(entry, data)
    return buffer.getvalue()


def named(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)


def linked(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    entry = named(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, target.encode()


def with_entry(entry: zipfile.ZipInfo, data: bytes = b"x") -> Callable[[Entries], Entries]:
    return lambda found: [*found, (entry, data)]


def compressed(found: Entries) -> Entries:
    for entry, _ in found:
        entry.compress_type = zipfile.ZIP_DEFLATED
    return found


def without(name: str) -> Callable[[Entries], Entries]:
    return lambda found: [each for each in found if each[0].filename != name]


def replaced(name: str, data: bytes) -> Callable[[Entries], Entries]:
    return lambda found: [(entry, data if entry.filename == name else old) for entry, old in found]


HOSTILE: dict[str, tuple[Callable[[Entries], Entries], str]] = {
    "a path upwards": (
        with_entry(named("../escaped")),
        r"expected plain file names in the archive, found '\.\./escaped'",
    ),
    "an absolute path": (with_entry(named("/tmp/escaped")), "expected plain file names"),
    "a path below": (with_entry(named("a/model.onnx")), "expected plain file names"),
    "a folder": (with_entry(named("a/"), b""), "expected plain file names"),
    "a hidden file": (with_entry(named(".profile")), "expected plain file names"),
    "two points": (with_entry(named("..")), "expected plain file names"),
    "another system's path": (with_entry(named("..\\escaped")), "expected plain file names"),
    "a link": (lambda found: [*found, linked("more.bin", "/etc/passwd")], "more.bin, a link or device"),
    "a link for a model": (
        lambda found: [*without("model.onnx")(found), linked("model.onnx", "/etc/passwd")],
        r"model\.onnx, a link or device",
    ),
    "a bomb": (with_entry(named("more.bin"), bytes(10_000_000)), r"more\.bin, which the card does not list"),
    "a compressed bomb": (compressed, "uncompressed in the archive"),
    "many files": (lambda found: found + [(named(f"f{n}"), b"") for n in range(40)], "at most 32 files.*found 43"),
    "a name twice": (
        with_entry(named("model.onnx")),
        r"every name once in the archive, found model\.onnx twice",
    ),
    "no card": (without("card.json"), r"expected card\.json in the archive"),
    "no model": (without("model.onnx"), r"the card lists model\.onnx, which the archive does not hold"),
    "nothing": (lambda _: [], r"expected card\.json in the archive, found nothing"),
    "something more": (with_entry(named("notes.txt")), r"the archive holds notes\.txt, which the card does not list"),
    "a card that is none": (replaced("card.json", b"[]"), r"card\.json is not a model card"),
    "a huge card": (replaced("card.json", b" " * 1_000_001), r"card\.json of at most 1000000 bytes"),
    "another model": (replaced("model.onnx", b"other"), r"expected model\.onnx with sha256"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    registry: Registry, archive: Path, tmp_path: Path, case: str
) -> None:
    change, told = HOSTILE[case]
    hostile = tmp_path / "inbox" / "hostile.zip"
    hostile.parent.mkdir()
    hostile.write_bytes(written(change(entries(archive))))
    outside = listing(tmp_path)
    with pytest.raises(RegistryError, match=told):
        registry.import_version(hostile)
    assert listing(registry.root) == set()
    assert listing(tmp_path) - {"models", "models/.lock"} == outside


def test_sizes_that_overlap_to_more_than_the_archive_are_refused(
    registry: Registry, archive: Path, tmp_path: Path
) -> None:
    data = bytearray(archive.read_bytes())
    size = len(data)
    start = data.index(b"PK\x01\x02")
    while data[start : start + 4] == b"PK\x01\x02":  # every central header says the same huge size, uncompressed
        data[start + 20 : start + 28] = (size - 100).to_bytes(4, "little") * 2
        start += 46 + sum(int.from_bytes(data[start + at : start + at + 2], "little") for at in (28, 30, 32))
    (tmp_path / "bomb.zip").write_bytes(data)
    with pytest.raises(RegistryError, match=f"expected files of {size} bytes at most.*a bomb"):
        registry.import_version(tmp_path / "bomb.zip")


def test_an_encrypted_archive_is_refused(registry: Registry, archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(RegistryError, match="without a password"):
        registry.import_version(tmp_path / "locked.zip")


def test_a_cut_archive_is_refused_wherever_it_is_cut(registry: Registry, archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    cut = tmp_path / "cut.zip"
    for size in range(0, len(whole), 61):
        cut.write_bytes(whole[:size])
        with pytest.raises(RegistryError):
            registry.import_version(cut)
        assert listing(registry.root) == set()


def test_a_changed_byte_is_told_or_changes_nothing(registry: Registry, archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    changed = tmp_path / "changed.zip"
    refused = 0
    for position in range(0, len(whole), 37):
        changed.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            registry.import_version(changed)
        except ModelError:
            refused += 1
            assert listing(registry.root) == set()
        else:  # a byte that nobody reads, such as a time of the entry
            registry.checked_folder("tiny@2")
            registry.remove("tiny@2")
    assert refused > 0.9 * len(range(0, len(whole), 37))


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", bytes(100_000)])
def test_what_is_no_archive_is_told(registry: Registry, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.zip").write_bytes(content)
    with pytest.raises(RegistryError, match="not a whole archive of `reid models export`"):
        registry.import_version(tmp_path / "junk.zip")


def test_what_is_not_there_is_told_without_its_path(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"expected a version's folder or file, found no nothing\.zip") as caught:
        registry.import_version(tmp_path / "nothing.zip")
    assert str(tmp_path) not in str(caught.value)


KEEP_ON = """
import sys
from pathlib import Path
from model.registry import Registry

registry = Registry(Path(sys.argv[1]), Path(sys.argv[2]))
while True:
    registry.import_version(Path(sys.argv[3]))
    print("in", flush=True)
    registry.remove("tiny@2")
"""


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.013, 0.021, 0.034])
def test_import_and_removal_survive_being_killed(registry: Registry, archive: Path, delay: float) -> None:
    command = [sys.executable, "-c", KEEP_ON, str(registry.root), str(registry.bundled), str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        time.sleep(delay)
        process.kill()
    if "tiny@2" in registry.versions():
        registry.checked_folder("tiny@2")
        registry.remove("tiny@2")
    assert registry.import_version(archive) == "tiny@2"
    registry.remove("tiny@2")
    assert listing(registry.root) == set()
