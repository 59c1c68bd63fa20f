"""Made-up data sets in the layouts of the real ones; every picture is a small one of its own."""

from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.training.datasets.images import LabelledImages, label_files

Reference = Any  # h5py has no types
BOX_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
MSMT_NAME = "{person:04d}/{person:04d}_{number:03d}_{camera:02d}_0303morning_0015_0.jpg"


def labelled(identities: list[int], cameras: list[int], name: str = "people") -> LabelledImages:
    paths = [Path(name, f"{position}.jpg") for position in range(len(identities))]
    return label_files(name, paths, list(zip(identities, cameras, strict=True)))


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(16, 8, 3), dtype=np.uint8)


def write_picture(path: Path, seed: int | None = None) -> Path:
    """Write a picture that depends on the file's name, or on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    Image.fromarray(pixels(crc32(path.name.encode()) if seed is None else seed)).save(buffer, kind)
    path.write_bytes(buffer.getvalue())
    return path


def write_boxes(root: Path, train: list[str], query: list[str], gallery: list[str]) -> Path:
    for folder, names in zip(BOX_FOLDERS, (train, query, gallery), strict=True):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            write_picture(root / folder / name)
    return root


def market(root: Path) -> Path:
    """Two people to train on, one to test with, a distractor and junk."""
    train = [f"{person:04d}_c{camera}s1_000451_03.jpg" for person in (2, 7) for camera in (1, 2)]
    gallery = ["0005_c3s1_000001_01.jpg", "0000_c1s1_000002_01.jpg", "-1_c1s1_000003_01.jpg"]
    return write_boxes(root, train, ["0005_c1s1_000004_00.jpg"], gallery)


def duke(root: Path) -> Path:
    train = [f"{person:04d}_c{camera}_f0046182.jpg" for person in (1, 7) for camera in (2, 8)]
    gallery = ["0005_c4_f0000001.jpg", "7139_c4_f0000002.jpg"]
    return write_boxes(root, train, ["0005_c1_f0000003.jpg"], gallery)


def cuhk03_np(root: Path) -> Path:
    for boxes, number in (("labeled", 1), ("detected", 2)):
        train = [f"{person:04d}_c{camera}_{number}.png" for person in (1, 2) for camera in (1, 2)]
        write_boxes(root / boxes, train, [f"0003_c1_{number}.png"], [f"0003_c2_{number}.png"])
    return root


def msmt17(root: Path, *, train: str = "train", test: str = "test") -> Path:
    """Persons 0 and 1 in training, and two others with the same numbers in the test."""
    root.mkdir(parents=True, exist_ok=True)
    lists = {
        "list_train.txt": (train, [(0, 0, 1), (0, 1, 15), (1, 0, 1)]),
        "list_val.txt": (train, [(1, 1, 2)]),
        "list_query.txt": (test, [(0, 0, 3), (1, 0, 3)]),
        "list_gallery.txt": (test, [(0, 1, 4), (1, 1, 14)]),
    }
    for name, (folder, rows) in lists.items():
        files = [MSMT_NAME.format(person=person, number=number, camera=camera) for person, number, camera in rows]
        (root / name).write_text("".join(f"{file} {row[0]}\n" for file, row in zip(files, rows, strict=True)))
        for file in files:
            write_picture(root / folder / file)
    return root


def cub200(root: Path) -> Path:
    """Two pictures of each of four species, two on either side of the split."""
    root.mkdir(parents=True, exist_ok=True)
    species = {
        1: "001.Black_footed_Albatross",
        100: "100.Brown_Pelican",
        101: "101.White_Pelican",
        200: "200.Yellowthroat",
    }
    files = [f"{name}/Bird_{number:04d}_{label}.jpg" for label, name in species.items() for number in (1, 2)]
    labels = [label for label in species for _ in range(2)]
    (root / "images.txt").write_text("".join(f"{number} {file}\n" for number, file in enumerate(files, start=1)))
    (root / "image_class_labels.txt").write_text(
        "".join(f"{number} {label}\n" for number, label in enumerate(labels, start=1))
    )
    for file in files:
        write_picture(root / "images" / file)
    return root


def cars196(root: Path, classes: tuple[int, ...] = (1, 1, 98, 98, 99, 99, 196, 196)) -> Path:
    savemat = pytest.importorskip("scipy.io", reason="scipy is not installed").savemat
    root.mkdir(parents=True, exist_ok=True)
    kinds = [("relative_im_path", object), ("bbox_x1", object), ("class", object), ("test", object)]
    rows = np.empty((1, len(classes)), dtype=kinds)
    for position, label in enumerate(classes):
        name = f"car_ims/{position + 1:06d}.jpg"
        rows[0, position] = (name, 1.0, float(label), 0.0)
        write_picture(root / name)
    savemat(root / "cars_annos.mat", {"annotations": rows})
    return root


def cuhk03_config(root: Path, boxes: str, files: list[str], labels: list[int], splits: list[list[int]]) -> Path:
    """Write the new protocol's lists; indices count from 1."""
    savemat = pytest.importorskip("scipy.io", reason="scipy is not installed").savemat
    cells = np.empty((len(files), 1), dtype=object)
    cells[:, 0] = files
    names = ("train_idx", "query_idx", "gallery_idx")
    indices = {name: np.array(split, dtype=np.float64) for name, split in zip(names, splits, strict=True)}
    path = root / f"cuhk03_new_protocol_config_{boxes}.mat"
    root.mkdir(parents=True, exist_ok=True)
    savemat(path, {"filelist": cells, "labels": np.array(labels, dtype=np.float64)[:, None], **indices})
    return path


def cuhk03_release(path: Path, test_sets: list[list[tuple[int, int]]]) -> Path:
    """Write two pairs of views, of three people and of one, as MATLAB 7.3 does: HDF5, with the axes reversed.

    Each person has two pictures by the first view (cells 1 and 2) and one by the second (cell 6).
    """
    h5py: Any = pytest.importorskip("h5py", reason="h5py is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:

        def store(values: NDArray[Any]) -> Reference:
            return file.create_dataset(f"#refs#/{len(file['#refs#']) if '#refs#' in file else 0}", data=values).ref

        def cell(rows: list[list[Any]]) -> NDArray[Any]:
            table = np.empty((len(rows), len(rows[0])), dtype=h5py.ref_dtype)
            for position, row in enumerate(rows):
                table[position] = row
            return table.T

        def person(seed: int) -> list[Any]:
            pictures = {0: seed, 1: seed + 1, 5: seed + 2}
            return [
                store(pixels(pictures[number]).T) if number in pictures else store(np.zeros(2, dtype=np.uint64))
                for number in range(10)
            ]

        for boxes, first in (("labeled", 0), ("detected", 1000)):
            pairs = [store(cell([person(first + 10 * i) for i in range(3)])), store(cell([person(first + 90)]))]
            file.create_dataset(boxes, data=cell([[pair] for pair in pairs]), dtype=h5py.ref_dtype)
        sets = [store(np.array(people, dtype=np.float64).T) for people in test_sets]
        file.create_dataset("testsets", data=cell([[each] for each in sets]), dtype=h5py.ref_dtype)
    return path
