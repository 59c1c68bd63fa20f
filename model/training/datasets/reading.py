"""One entry for every data set: by its name, or by what lies in its folder."""

from collections.abc import Callable
from pathlib import Path

from model.errors import DatasetError
from model.training.datasets import cars196, cub200, cuhk03, cuhk03_np, dukemtmc, folder, manifest, market1501, msmt17
from model.training.datasets.check import check_labels
from model.training.datasets.dataset import Dataset, Layout

AUTO = "auto"
LAYOUTS: tuple[Layout, ...] = (
    market1501.LAYOUT,
    *cuhk03.LAYOUTS,
    *cuhk03_np.LAYOUTS,
    dukemtmc.LAYOUT,
    *msmt17.LAYOUTS,
    cub200.LAYOUT,
    cars196.LAYOUT,
    manifest.LAYOUT,
    folder.LAYOUT,
)
NAMES = (AUTO, *(layout.name for layout in LAYOUTS))


def read_dataset(path: Path, name: str = AUTO) -> Dataset:
    """Read the data set at `path` and check its labels.

    `name` is one of `NAMES`; `cuhk03-labeled:7` is the seventh split of one that has several. Raises `DatasetError`
    for what is not there, not known, or not fit for training and evaluation.
    """
    if not path.exists():
        raise DatasetError(f"expected a data set at {path}, found nothing there; correct the path")
    read = choose_reader(recognise(path).name if name == AUTO else name)
    dataset = read(path)
    check_labels(dataset)
    return dataset


def recognise(path: Path) -> Layout:
    """Return the one layout that fits what lies at `path`."""
    fitting = [layout for layout in LAYOUTS if layout.fits(path)]
    if not fitting:
        raise DatasetError(f"no known data set at {path}, where there is {_describe(path)}; {_expected(path)}")
    if len(fitting) > 1:
        names = ", ".join(layout.name for layout in fitting)
        raise DatasetError(f"{path} can be read as {names}; say which with --dataset")
    return fitting[0]


def choose_reader(name: str) -> Callable[[Path], Dataset]:
    """Return the reader of a data set's name, such as `msmt17-v2` or `cuhk03-labeled:7`."""
    plain, _, split = name.partition(":")
    layout = next((layout for layout in LAYOUTS if layout.name == plain), None)
    if layout is None:
        raise DatasetError(f"expected one of {', '.join(NAMES)} as the data set's name, found {plain!r}")
    splits = [str(number) for number in range(1, len(layout.readers) + 1)]
    if (split or "1") not in splits or name.endswith(":"):
        raise DatasetError(f"expected a split of {plain} from 1 to {len(splits)}, found {split!r}")
    return layout.readers[int(split or "1") - 1]


def _expected(path: Path) -> str:
    """Say what the layouts look like that have a name in common with what is there, or which layouts there are."""
    names = {path.name} if path.is_file() else {entry.name for entry in path.iterdir()}
    near = [layout for layout in LAYOUTS if names & layout.parts]
    if near:
        return f"expected {'; or '.join(f'{layout.name}: {layout.looks}' for layout in near)}"
    return f"expected one of {', '.join(layout.name for layout in LAYOUTS)}; --dataset NAME tells what one looks like"


def _describe(path: Path) -> str:
    if path.is_file():
        return f"the file {path.name}"
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in path.iterdir())
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "an empty folder"
