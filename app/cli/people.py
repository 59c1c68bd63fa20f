"""A folder with a subfolder of pictures for each person, named after them."""

from collections.abc import Iterator
from pathlib import Path

from app.cli.entries import AnyEntry, BadEntry, Entry
from app.cli.failures import CommandError
from app.errors import InvalidParameter
from app.forms import validate
from app.parameters import NewSampleFields

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class PeopleFolder:
    """The pictures of each subfolder, without cameras; what lies elsewhere is left out."""

    def __init__(self, root: Path) -> None:
        self._root = root
        folders = [entry for entry in _visible(root) if entry.is_dir()]
        inside = [entry for folder in folders for entry in _visible(folder)]
        self._paths = [entry for entry in inside if entry.suffix.lower() in SUFFIXES]
        self._others = len(_visible(root)) - len(folders) + len(inside) - len(self._paths)
        if not self._paths:
            raise CommandError(
                f"{root}: expected a subfolder for each person with pictures in it ({', '.join(SUFFIXES)}), found none"
            )

    @property
    def total(self) -> int:
        """How many pictures are to be enrolled."""
        return len(self._paths)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        if not self._others:
            return ()
        return (f"left out, no picture in a person's folder: {self._others}",)

    def entries(self) -> Iterator[AnyEntry]:
        """Yield the pictures by folder and name; those of a folder whose name cannot be a person's as `BadEntry`."""
        for path in self._paths:
            where = str(path.relative_to(self._root))
            try:
                fields = validate(NewSampleFields, {"identity": path.parent.name})
            except InvalidParameter as exc:
                yield BadEntry(where, f"{exc.field}: {exc}")
            else:
                yield Entry(where=where, path=path, identity=fields.identity)


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
