"""Writing a gallery as a training data set: pictures in a folder, and a CSV manifest that training reads."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.dataset import (
    LeftOut,
    Picture,
    Selection,
    Split,
    assign,
    choose,
    enough,
    one_camera,
    pseudonyms,
    require_usable,
)
from app.errors import ExportRefused
from index.errors import PictureNotStored, SampleNotFound, StoreDamaged
from index.gallery import GalleryStore
from model.container import sniff
from model.errors import ImageError
from model.preprocess import read_image

MANIFEST = "manifest.csv"
PICTURES = "pictures"
HEADER = ("path", "identity", "camera", "split")
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What a data set has, and how many samples it has not, by reason."""

    manifest: Path
    images: dict[str, int]  # by split
    identities: dict[str, int]  # to train on, and to test with
    cameras: int
    one_camera: int  # identities that a single camera sees
    left_out: dict[str, int]


class Export:
    """One data set in the making. The manifest comes last: a folder without one was not finished, and is gone on with.

    Pictures are named by their bytes, so what is there already is not written again.
    """

    def __init__(self, store: GalleryStore, gallery: str, out: Path, wanted: Selection) -> None:
        self._store = store
        self._gallery = gallery
        self._out = out
        self._wanted = wanted
        self._left_out: Counter[LeftOut] = Counter()
        self._files: dict[str, str] = {}  # digest -> path from the manifest

    def run(self, *, names: bool, pictures: Path | None, progress: Progress) -> Exported:
        """Write the data set; `pictures` is the store's folder when its files are to be linked and not copied.

        Raises `ExportRefused` for a folder that is something else, or a gallery that nothing can be learnt from.
        """
        self._check_folder()
        chosen = choose(self._store.all_samples(self._gallery), self._wanted, self._left_out)
        require_usable(chosen, self._wanted)
        (self._out / PICTURES).mkdir(parents=True, exist_ok=True)  # now that there is something to write
        written = self._write_pictures(chosen, pictures, progress)
        kept = enough(self._still_there(written), self._wanted.least, self._left_out)
        require_usable(kept, self._wanted)
        rows = list(assign(kept, self._wanted))
        self._remove_others({self._files[each.digest] for each in kept})
        self._write_manifest(rows, names)
        return self._told(rows)

    def _check_folder(self) -> None:
        there = sorted(path.name for path in self._out.iterdir()) if self._out.is_dir() else []
        if self._out.is_file() or any(name != PICTURES for name in there):
            found = "a file" if self._out.is_file() else ", ".join(there[:3])
            raise ExportRefused(f"expected a new folder for the data set, found {found} at {self._out}; give another")

    def _write_pictures(self, chosen: Sequence[Picture], folder: Path | None, progress: Progress) -> list[Picture]:
        written = []
        for done, each in enumerate(chosen, start=1):
            try:
                self._files[each.digest] = self._write_picture(each, folder)
                written.append(each)
            except SampleNotFound:
                self._left_out[LeftOut.ERASED] += 1
            except (ImageError, PictureNotStored, StoreDamaged):
                self._left_out[LeftOut.UNREADABLE] += 1
            progress(done, len(chosen))
        return written

    def _write_picture(self, each: Picture, folder: Path | None) -> str:
        """Write a picture that can be decoded; return its path in the data set."""
        data = self._store.picture(self._gallery, each.sample_id)
        read_image(data)
        name = f"{PICTURES}/{each.digest[:2]}/{each.digest}{_ENDINGS[sniff(data)]}"
        path = self._out / name
        if path.is_file() and path.stat().st_size == len(data):
            return name
        path.parent.mkdir(exist_ok=True)
        if folder is None or not _linked(folder / each.digest[:2] / each.digest, path):
            temporary = path.with_name(f".{path.name}")
            temporary.write_bytes(data)
            temporary.replace(path)
        return name

    def _still_there(self, written: Sequence[Picture]) -> list[Picture]:
        """Return those that nobody erased or gave to another person while pictures were written."""
        now = {each.sample_id: each.identity for each in self._store.all_samples(self._gallery)}
        kept = [each for each in written if now.get(each.sample_id) == each.identity]
        self._left_out[LeftOut.ERASED] += len(written) - len(kept)
        return kept

    def _remove_others(self, names: set[str]) -> None:
        """Remove what an earlier attempt wrote and this one leaves out."""
        for path in (self._out / PICTURES).rglob("*"):
            if path.is_file() and path.relative_to(self._out).as_posix() not in names:
                path.unlink()

    def _write_manifest(self, rows: Sequence[tuple[Picture, Split]], names: bool) -> None:
        people = pseudonyms((each for each, _ in rows), self._wanted.seed)
        cameras = sorted({each.camera for each, _ in rows if each.camera is not None})
        numbers = {camera: f"c{number}" for number, camera in enumerate(cameras, start=1)}
        temporary = self._out / f".{MANIFEST}"
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for each, split in sorted(rows, key=lambda row: (people[row[0].identity], row[0].sample_id)):
                who = each.identity if names else people[each.identity]
                camera = "" if each.camera is None else each.camera if names else numbers[each.camera]
                writer.writerow([self._files[each.digest], who, camera, split])
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._out / MANIFEST)

    def _told(self, rows: Sequence[tuple[Picture, Split]]) -> Exported:
        people = {split: {each.identity for each, found in rows if found is split} for split in Split}
        return Exported(
            manifest=self._out / MANIFEST,
            images={split.value: sum(found is split for _, found in rows) for split in Split},
            identities={"train": len(people[Split.TRAIN]), "test": len(people[Split.TEST] | people[Split.GALLERY])},
            cameras=len({each.camera for each, _ in rows} - {None}),
            one_camera=one_camera(each for each, _ in rows),
            left_out={reason.value: count for reason, count in self._left_out.items() if count},
        )


def _linked(source: Path, path: Path) -> bool:
    """Tell whether a hard link could be made; on another disk it cannot."""
    try:
        path.unlink(missing_ok=True)
        os.link(source, path)
    except OSError:
        return False
    return True
