"""What the verbs of training tell while they run."""

import logging

from rich.console import Console
from rich.logging import RichHandler


def tell_progress() -> None:
    """Show what the package logs on stderr, beside the progress bars."""
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("model").setLevel(logging.INFO)  # the libraries' own news are not the user's
