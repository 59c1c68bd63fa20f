"""The registry: immutable model versions in folders, and which of them is active.

`<root>/<name>/<n>/` holds `card.json`, `model.onnx` and/or `model.int8.onnx`, and `config.pbtxt` for Triton. The
versions that come with the package are always there beside them.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from model.card import CARD_NAME, VERSION_PATTERN, Card, read_card
from model.errors import RegistryError, VersionDamaged, VersionNotFound
from model.runtime import CPU, Embedder

Precision = Literal["int8", "fp32"]
FILES: dict[Precision, str] = {"int8": "model.int8.onnx", "fp32": "model.onnx"}
BUNDLED = Path(__file__).parent / "bundled"
_ACTIVE = "active"
_TRITON = "config.pbtxt"
_COPYING = ".import-"
_log = logging.getLogger(__name__)


class Registry:
    """Model versions under `root`, and the bundled ones. Nothing is created before something is registered."""

    def __init__(self, root: Path, bundled: Path = BUNDLED) -> None:
        self.root = root
        self.bundled = bundled

    def versions(self) -> list[str]:
        """Return all versions as `name@n`, by name and number; one with a damaged card is left out and logged."""
        return [version for version in self._named(self.bundled, self.root) if self._readable(version)]

    def card(self, version: str) -> Card:
        """Return a version's card; raise `VersionNotFound` or, when it is not the version's, `VersionDamaged`."""
        folder = self._folder(version)
        try:
            card = read_card(folder / CARD_NAME)
        except RegistryError as exc:
            raise VersionDamaged(f"{version}: {exc}") from exc
        if card.version != version:
            raise VersionDamaged(f"{version}: expected its card, found the card of {card.version}")
        return card

    def active(self) -> str:
        """Return the active version: the one last activated, else the newest bundled one.

        Raises `VersionNotFound` when there is neither, `RegistryError` when the record of it is no version.
        """
        pointer = self.root / _ACTIVE
        if pointer.exists():
            version = pointer.read_text(encoding="utf-8", errors="replace").strip()
            if not re.fullmatch(VERSION_PATTERN, version):
                raise RegistryError(f"expected a version in {_ACTIVE}, found {version[:80]!r}; activate one again")
            return version
        bundled = self._named(self.bundled)
        if not bundled:
            raise VersionNotFound("no model version is active: import one with `reid models import`, then activate it")
        return max(bundled, key=lambda version: self.card(version).created)

    def activate(self, version: str) -> None:
        """Make a version the active one, after its files were checked; atomic and on the disk when it returns."""
        card = self.card(version)
        for precision in _present(card):
            self.file(version, precision)
        with self._writing():
            _replace(self.root / _ACTIVE, f"{version}\n".encode())

    def file(self, version: str, precision: Precision | None = None) -> Path:
        """Return a version's ONNX file, int8 if there is one and none is asked for.

        Raises `VersionDamaged` when its sha256 is not the card's, `RegistryError` when it has no such file.
        """
        card = self.card(version)
        present = _present(card)
        if not present or (precision is not None and precision not in present):
            raise RegistryError(f"expected a {precision or 'model'} file in {version}, found {', '.join(card.files)}")
        path = self._folder(version) / FILES[precision or present[0]]
        _check_hash(path, card.files[path.name], version)
        return path

    def open(
        self,
        version: str,
        *,
        precision: Precision | None = None,
        threads: int = 0,
        providers: Sequence[str] = CPU,
    ) -> Embedder:
        """Return a version at work; raise what `card`, `file` and `Embedder` raise."""
        card = self.card(version)
        path = self.file(version, precision)
        return Embedder(path, card.input, card.output, version, threads, providers)

    def import_version(self, folder: Path) -> str:
        """Register a copy of a version's folder and return the version; it is there whole or not at all.

        Importing the same version again changes nothing. Raises `RegistryError` for one that is registered with
        other content or is damaged, `ContractError` when a file is not what the card says.
        """
        card = read_card(folder / CARD_NAME)
        self._check_content(folder, card)
        with self._writing():
            if not self._registered(card):
                self._copy(folder, card)
        return card.version

    def _registered(self, card: Card) -> bool:
        """Tell whether the version is there already; raise `RegistryError` when it is and differs."""
        try:
            self._folder(card.version)
        except VersionNotFound:
            return False
        if self.card(card.version) != card:
            raise RegistryError(
                f"{card.version} is registered with other content; versions never change: use a new number"
            )
        for precision in _present(card):
            self.file(card.version, precision)
        return True

    def _check_content(self, folder: Path, card: Card) -> None:
        """Refuse a folder whose files are not the card's, or compute something else than the card says."""
        if not _present(card):
            raise RegistryError(f"expected {' or '.join(FILES.values())} in {card.version}, found {list(card.files)}")
        for name, digest in card.files.items():
            if Path(name).name != name:
                raise RegistryError(f"expected a file name in the card of {card.version}, found {name}")
            _check_hash(folder / name, digest, card.version)
        for precision in _present(card):
            Embedder(folder / FILES[precision], card.input, card.output, card.version, threads=1)

    def _copy(self, folder: Path, card: Card) -> None:
        """Copy a version in beside its place, bring it to the disk, and only then give it its name."""
        family = self.root / card.name
        family.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=family, prefix=_COPYING) as temporary:
            whole = Path(temporary) / str(card.number)
            whole.mkdir()
            for name in (CARD_NAME, *card.files):
                shutil.copyfile(folder / name, whole / name)
            (whole / _TRITON).write_text(triton_config(card), encoding="utf-8")
            for path in (*whole.iterdir(), whole):
                _sync(path)
            whole.rename(family / whole.name)
        # Triton looks for it beside the version folders.
        _replace(family / _TRITON, triton_config(card).encode())
        _sync(self.root)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other writers out, clear what a killed one left, and tell a full or read-only disk."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for pattern in (f"*/{_COPYING}*", f".{_ACTIVE}-*", f"*/.{_TRITON}-*"):
                    for left in self.root.glob(pattern):
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
                yield
        except OSError as exc:
            raise RegistryError(f"the registry cannot be written: {exc.strerror}") from exc

    def _named(self, *tops: Path) -> list[str]:
        folders = (card.parent for top in tops for card in top.glob(f"*/*/{CARD_NAME}"))
        found = {f"{folder.parent.name}@{folder.name}" for folder in folders}
        return sorted((version for version in found if re.fullmatch(VERSION_PATTERN, version)), key=_sort_key)

    def _readable(self, version: str) -> bool:
        try:
            self.card(version)
        except RegistryError as exc:
            _log.warning("a model version is left out: %s", exc)
            return False
        return True

    def _folder(self, version: str) -> Path:
        if re.fullmatch(VERSION_PATTERN, version):
            name, _, number = version.partition("@")
            for top in (self.root, self.bundled):
                if (top / name / number).is_dir():
                    return top / name / number
        raise VersionNotFound(f"expected a version out of {', '.join(self.versions()) or 'none'}, found {version}")


def triton_config(card: Card) -> str:
    """Return the version's `config.pbtxt` for NVIDIA Triton's model repository."""
    shape = f"{card.input.height}, {card.input.width}, 3"
    return (
        f'name: "{card.name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 64\n'
        f'default_model_filename: "{FILES[_present(card)[-1]]}"\n'
        f'input [{{ name: "{card.input.name}" data_type: TYPE_UINT8 dims: [ {shape} ] }}]\n'
        f'output [{{ name: "{card.output.name}" data_type: TYPE_FP32 dims: [ {card.output.dim} ] }}]\n'
        "dynamic_batching { }\n"
    )


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_hash(path: Path, expected: str, version: str) -> None:
    try:
        found = sha256(path)
    except OSError as exc:
        raise VersionDamaged(f"{version}: expected the file {path.name}, found none: {exc.strerror}") from exc
    if found != expected:
        raise VersionDamaged(f"{version}: expected {path.name} with sha256 {expected}, found {found}")


def _present(card: Card) -> list[Precision]:
    return [precision for precision, name in FILES.items() if name in card.files]


def _sort_key(version: str) -> tuple[str, int]:
    name, _, number = version.partition("@")
    return name, int(number)


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place of another so that any reader, also after a power cut, sees one or the other."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
    Path(temporary).replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
