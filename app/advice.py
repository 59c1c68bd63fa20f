"""What to do about an error of a package that knows neither the HTTP API nor the command line."""

import shlex
import sys

from index.errors import GalleryNotFound, MigrationNotFound

# Both ways in each: an error of the service may be read at the command line.
_ADVICE: dict[type[BaseException], str] = {
    GalleryNotFound: "make it with reid gallery create NAME, or PUT /galleries/{name}",
    MigrationNotFound: "see reid migrations list, or GET /migrations",
}


def advised(error: BaseException) -> str:
    """Return an error's text, and behind it what to do where the text itself cannot say so."""
    advice = _ADVICE.get(type(error))
    return str(error) if advice is None else f"{error}: {advice}"


def installing(extra: str) -> str:
    """Return the command that installs an extra where this runs: another pip would not find the package at all."""
    return f"{shlex.quote(sys.executable or 'python')} -m pip install 'hap2s-reid[{extra}]'"
