"""The registry: immutable model versions in folders, and which of them is active.

`<root>/<name>/<n>/` holds `card.json` and its sha256, `model.onnx` and/or `model.int8.onnx`, and `config.pbtxt` for
Triton. The versions that come with the package are always there beside them.
"""

import fcntl
import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from model.archive import pack
from model.card import CARD_HASH, CARD_NAME, FILES, VERSION_PATTERN, WEIGHTS, Card, Precision, read_card
from model.disk import replace_file, sync, whole_file
from model.errors import RegistryError, VersionDamaged, VersionInUse, VersionNotFound
from model.history import HISTORY, Promotion, appended, read_history
from model.parcel import Parcel, open_parcel
from model.runtime import CPU, Embedder
from model.trial import try_out
from model.triton import TRITON_CONFIG, triton_config

BUNDLED = Path(__file__).parent / "bundled"
_ACTIVE = "active"
_COPYING = ".import-"
_REMOVING = ".remove-"
_LEFT_BY_KILLED = (
    f"*/{_COPYING}*",
    f"*/{_REMOVING}*",
    f"*/.{TRITON_CONFIG}-*",
    f".{_ACTIVE}-*",
    f".{HISTORY}-*",
)
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Registry:
    """Model versions under `root`, and the bundled ones. Nothing is created before something is registered."""

    def __init__(self, root: Path, bundled: Path = BUNDLED) -> None:
        self.root = root
        self.bundled = bundled

    def versions(self) -> list[str]:
        """Return all versions as `name@n`, by name and number; one with a damaged card is left out and logged."""
        return [version for version in self._named(self.bundled, self.root) if self._readable(version)]

    def newer(self, version: str) -> str | None:
        """Return the highest version of the same name where it is above this one, such as one of a later release."""
        name, _ = _sort_key(version)
        highest = max((each for each in self.versions() if _sort_key(each)[0] == name), key=_sort_key, default=version)
        return highest if _sort_key(highest) > _sort_key(version) else None

    def card(self, version: str) -> Card:
        """Return a version's card; raise `VersionNotFound` or, when it is not the version's, `VersionDamaged`."""
        return self._sound(version, lambda folder: _card_in(folder, version))

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
        """Make a version the active one, after its hashes were compared; atomic and on the disk when it returns.

        Whoever makes it serve has it open already, and `open` tries it.
        """
        for precision in self.card(version).precisions:
            self.file(version, precision)
        with self._writing():
            replace_file(self.root / _ACTIVE, f"{version}\n".encode())

    def file(self, version: str, precision: Precision | None = None) -> Path:
        """Return a version's ONNX file, int8 if there is one and none is asked for.

        Raises `VersionDamaged` when its sha256 is not the card's, `RegistryError` when it has no such file.
        """
        card = self.card(version)
        return self._checked(card, FILES[card.precision(precision)])

    def weights(self, version: str) -> Path:
        """Return the folder of a version whose weights training can go on from; raise as `file` does."""
        card = self.card(version)
        if WEIGHTS not in card.files:
            raise RegistryError(
                f"expected {WEIGHTS} in {version}, found {', '.join(card.files)}: start from its training run's "
                "folder, or from a version exported with --with-weights"
            )
        return self._checked(card, WEIGHTS).parent

    def open(
        self,
        version: str,
        *,
        precision: Precision | None = None,
        threads: int = 0,
        providers: Sequence[str] = CPU,
        side_by_side: bool = False,
    ) -> Embedder:
        """Return a version at work, tried on a few pictures; raise what `file`, `Embedder` and `try_out` raise."""
        card = self.card(version)
        path = self.file(version, precision)
        _require_listed(path.parent, card)
        embedder = Embedder(path, card.input, card.output, version, threads, providers, side_by_side=side_by_side)
        try_out(embedder)
        return embedder

    def import_version(self, source: Path, *, expected: str | None = None) -> str:
        """Register a copy of a version, from its folder or its one file; return the version, which may be `expected`.

        It is there whole or not at all; importing the same version again changes nothing but what is damaged of it,
        which is replaced. Raises `RegistryError` for one that is registered with other content or comes damaged,
        `ContractError` when a file is not what the card says.
        """
        with open_parcel(source) as parcel, self._writing():
            if expected not in (None, parcel.card.version):
                raise RegistryError(f"expected {expected}, found the card of {parcel.card.version}")
            if not self._registered(parcel.card):
                self._take(parcel)
        return parcel.card.version

    def keep(self, version: str) -> None:
        """Copy a version that comes with the package into the registry, where it stays when the package brings another.

        A damaged copy is put right, a whole one is left alone. Raises `RegistryError` when it cannot be written.
        """
        folder = self._folders(version)[-1]
        with open_parcel(folder) as parcel:
            if folder.is_relative_to(self.root) or self._is_kept(parcel.card):
                return
            with self._writing():
                if not self._is_kept(parcel.card):  # by another process
                    self._take(parcel)

    def export_version(self, version: str, target: Path) -> None:
        """Write a version as one file, which `import_version` takes; the same version gives the same bytes.

        Raises `RegistryError` for a file that is there already, and what `file` raises for a damaged version.
        """
        folder = self.checked_folder(version)
        files = {name: folder / name for name in self.card(version).files}
        if target.exists():
            raise RegistryError(f"expected a new file, found {target.name}: it is there already; remove it first")
        try:
            with whole_file(target) as file:
                pack((folder / CARD_NAME).read_bytes(), files, file)
        except OSError as exc:
            raise RegistryError(f"{target.name} cannot be written: {exc.strerror}") from exc

    def checked_folder(self, version: str) -> Path:
        """Return where a version's card and files lie, after every hash was compared."""
        card = self.card(version)
        return self._sound(version, lambda folder: _require_whole(folder, card))

    def remove(self, version: str, in_use: Callable[[], Mapping[str, str]] = dict) -> None:
        """Remove a version; after kill -9 it is there whole or gone.

        `in_use` tells for versions by name what they are needed for; it is asked while nobody else writes here.
        Raises `VersionInUse` for one of those, the active one, and one that comes with the package.
        """
        folder = self._folders(version)[0]
        if version in self._named(self.bundled):
            raise VersionInUse(f"{version} comes with the package and cannot be removed")
        with self._writing():
            if self._is_active(version):
                raise VersionInUse(f"{version} is the active version: activate another one first")
            if needed := in_use().get(version):
                raise VersionInUse(f"{version} cannot be removed: {needed}")
            gone = folder.with_name(f"{_REMOVING}{folder.name}")
            folder.rename(gone)
            sync(folder.parent)
            shutil.rmtree(gone)
            self._settle(folder.parent)

    def record_promotion(self, promotion: Promotion) -> None:
        """Write down that a version takes another's place; on the disk when it returns."""
        with self._writing():
            replace_file(self.root / HISTORY, appended(self.root / HISTORY, promotion))

    def promotions(self, version: str | None = None) -> tuple[Promotion, ...]:
        """Return what `record_promotion` wrote, of one version or of all, the oldest first."""
        known = read_history(self.root / HISTORY)
        return tuple(each for each in known if version in (None, each.version))

    def _is_kept(self, card: Card) -> bool:
        return self._folders(card.version)[0].is_relative_to(self.root) and self._registered(card)

    def _is_active(self, version: str) -> bool:
        try:
            return self.active() == version
        except VersionNotFound:
            return False

    def _registered(self, card: Card) -> bool:
        """Tell whether the version is there already, and whole; raise `RegistryError` when its card differs."""
        try:
            if self.card(card.version) != card:
                raise RegistryError(
                    f"{card.version} is registered with other content; versions never change: use a new number"
                )
            _require_whole(self._folders(card.version)[0], card)
        except (VersionNotFound, VersionDamaged):
            return False
        return True

    def _take(self, parcel: Parcel) -> None:
        """Copy a version in beside its place, check the copy, bring it to the disk, and only then give it its name.

        Where a damaged one has the name, its files are replaced one by one: it is never gone, and whole at the end.
        """
        card = parcel.card
        if not card.precisions:
            raise RegistryError(f"expected {' or '.join(FILES.values())} in {card.version}, found {list(card.files)}")
        family = self.root / card.name
        family.mkdir(exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=family, prefix=_COPYING) as temporary:
                whole = Path(temporary) / str(card.number)
                whole.mkdir()
                parcel.unpack(whole)
                _check_content(whole, card)
                (whole / CARD_HASH).write_text(_card_hash(whole), encoding="utf-8")
                (whole / TRITON_CONFIG).write_text(triton_config(card), encoding="utf-8")
                for path in (*whole.iterdir(), whole):
                    sync(path)
                place = family / whole.name
                if not place.is_dir():
                    whole.rename(place)
                    return
                _log.warning("%s is damaged where it is registered: its files are replaced", card.version)
                for path in whole.iterdir():
                    path.replace(place / path.name)
                sync(place)
        finally:
            self._settle(family)

    def _settle(self, family: Path) -> None:
        """Give Triton the settings of a name's highest version, or remove the folder that has none."""
        whole = [each for each in self._named(self.root) if each.startswith(f"{family.name}@") and self._readable(each)]
        if whole:
            replace_file(family / TRITON_CONFIG, triton_config(self.card(whole[-1])).encode())
        else:
            (family / TRITON_CONFIG).unlink(missing_ok=True)
            with suppress(OSError):  # what somebody else put there keeps it
                family.rmdir()
        sync(self.root)

    def _checked(self, card: Card, name: str) -> Path:
        return self._sound(card.version, lambda folder: _require_whole(folder, card, (name,))) / name

    def _sound(self, version: str, read: Callable[[Path], _T]) -> _T:
        """Return what is read from a version's folder, or from the package's own where the kept copy is damaged."""
        kept, *package = self._folders(version)
        try:
            return read(kept)
        except VersionDamaged as exc:
            for folder in package:
                with suppress(RegistryError):
                    found = read(folder)
                    _log.warning("%s; the package's own is used instead", exc)
                    return found
            raise VersionDamaged(f"{exc}; `reid models import` of the version's file or folder puts it right") from exc

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other writers out, clear what a killed one left, and tell a full or read-only disk."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for left in [left for pattern in _LEFT_BY_KILLED for left in self.root.glob(pattern)]:
                    self._clear(left)
                yield
        except OSError as exc:
            raise RegistryError(f"the registry cannot be written: {exc.strerror}") from exc

    def _clear(self, left: Path) -> None:
        """Remove what a killed writer left; the version that it was about is there whole or not at all."""
        if left.is_dir():
            shutil.rmtree(left)
            self._settle(left.parent)
        else:
            left.unlink()

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

    def _folders(self, version: str) -> list[Path]:
        """Return where a version lies: the registry's own folder of it, then the package's."""
        advice = "a version is NAME@N"
        if re.fullmatch(VERSION_PATTERN, version):
            name, _, number = version.partition("@")
            if found := [top / name / number for top in (self.root, self.bundled) if (top / name / number).is_dir()]:
                return found
            advice = "bring it with `reid models import` or `pull`"
        raise VersionNotFound(
            f"expected a version out of {', '.join(self.versions()) or 'none'}, found {version}: {advice}"
        )


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _card_in(folder: Path, version: str) -> Card:
    try:
        card = read_card(folder / CARD_NAME)
    except RegistryError as exc:
        raise VersionDamaged(f"{version}: {exc}") from exc
    if card.version != version:
        raise VersionDamaged(f"{version}: expected its card, found the card of {card.version}")
    noted = folder / CARD_HASH  # the package's own versions and older copies have none
    if noted.exists() and noted.read_bytes() != _card_hash(folder).encode():
        raise VersionDamaged(f"{version}: expected {CARD_NAME} with the sha256 in {CARD_HASH}, found another")
    return card


def _card_hash(folder: Path) -> str:
    return f"{sha256(folder / CARD_NAME)}  {CARD_NAME}\n"


def _require_whole(folder: Path, card: Card, names: Iterable[str] | None = None) -> Path:
    """Return a folder that holds this card and these files of it, or all of them; raise `VersionDamaged`."""
    if _card_in(folder, card.version) != card:
        raise VersionDamaged(f"{card.version}: expected the card that was read before, found another")
    for name in card.files if names is None else names:
        check_hash(folder / name, card.files[name], card.version)
    return folder


def check_hash(path: Path, expected: str, version: str) -> None:
    """Raise `VersionDamaged` for a file of a version that is not there, or has another sha256."""
    try:
        found = sha256(path)
    except OSError as exc:
        raise VersionDamaged(f"{version}: expected the file {path.name}, found none: {exc.strerror}") from exc
    if found != expected:
        raise VersionDamaged(f"{version}: expected {path.name} with sha256 {expected}, found {found}")


def _check_content(folder: Path, card: Card) -> None:
    """Refuse files that are not the card's, or compute something else than the card says."""
    for name, digest in card.files.items():
        check_hash(folder / name, digest, card.version)
    for precision in card.precisions:
        try_out(Embedder(folder / FILES[precision], card.input, card.output, card.version, threads=1))


def _require_listed(folder: Path, card: Card) -> None:
    """Refuse a folder with files that no hash is known of: an ONNX file may read its weights from one."""
    known = {CARD_NAME, CARD_HASH, TRITON_CONFIG, *card.files}
    if unknown := sorted(path.name for path in folder.iterdir() if path.name not in known):
        raise VersionDamaged(
            f"{card.version}: expected {', '.join(sorted(known))} in its folder, found {', '.join(unknown)} as well: "
            "move that elsewhere"
        )


def _sort_key(version: str) -> tuple[str, int]:
    name, _, number = version.partition("@")
    return name, int(number)
