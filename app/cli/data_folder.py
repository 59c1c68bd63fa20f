"""The data folder that a verb works on."""

from pathlib import Path

import typer

from app.settings import Settings, load_settings
from index.database import file_of


def settings_here() -> Settings:
    """Return the settings; say on stderr where the verb makes the data folder.

    Run in another folder than the service, a verb has another `./data`: its keys open nothing, and it finds nobody.
    """
    settings = load_settings()
    if no_gallery_in(settings) is not None and not settings.data_dir.exists():
        told = f"there was no data folder {settings.data_dir}: this makes one, empty; REID_DATA_DIR names another"
        typer.echo(f"reid: {told}", err=True)
    return settings


def no_gallery_in(settings: Settings) -> Path | None:
    """Return where the catalogue is to lie, if that is a file and not there yet."""
    file = file_of(settings.database_url)
    return None if file is None or file.exists() else file.parent
