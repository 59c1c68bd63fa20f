"""What the verbs of training tell while they run."""

import logging
import shlex

from rich.console import Console
from rich.logging import RichHandler


def tell_progress() -> None:
    """Show what the package logs on stderr, beside the progress bars."""
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("model").setLevel(logging.INFO)  # the libraries' own news are not the user's


def next_step(*words: object) -> str:
    """Return the line that names the next command, to be copied as it is."""
    return f"next: {shlex.join(map(str, words))}"
