"""MATLAB files of version 5, as the protocols of CUHK03-NP and Cars196 come."""

from pathlib import Path
from typing import Any

from model.errors import DatasetError


def read_matlab(path: Path, *names: str) -> tuple[Any, ...]:
    """Return the variables of those names, without dimensions of one; raise `DatasetError` when one is not there."""
    from scipy.io import loadmat  # here, because the other data sets do not need it
    from scipy.io.matlab import MatReadError

    try:
        with path.open("rb") as file:
            content = loadmat(file, squeeze_me=True)
    except FileNotFoundError as exc:
        raise DatasetError(f"expected the MATLAB file {path}, found none") from exc
    except (MatReadError, OSError, ValueError, TypeError, NotImplementedError, LookupError) as exc:
        raise DatasetError(f"{path}: expected a MATLAB file of version 5: {exc}; fetch it again") from exc
    missing = [name for name in names if name not in content]
    if missing:
        found = ", ".join(name for name in content if not name.startswith("__")) or "none"
        raise DatasetError(f"{path}: expected the variable {missing[0]}, found {found}; fetch it again")
    return tuple(content[name] for name in names)
