"""The enrol view: what becomes of the files that were chosen."""

from pathlib import Path

import httpx

from tests.app.console.conftest import Watched
from tests.app.console.steps import all_pictures_are_there, identities
from tests.app.parts import person


def on_disk(folder: Path, number: int) -> list[Path]:
    """Pictures as files, for what happens to them after they were chosen."""
    files = [folder / f"{each:02d}.jpg" for each in range(number)]
    for place, file in enumerate(files):
        file.write_bytes(person(place))
    return files


def test_a_file_that_is_gone_fails_alone(watched: Watched, service: httpx.Client, gallery: str, tmp_path: Path) -> None:
    watched.refusals = {"ERR_FILE_NOT_FOUND"}
    files = on_disk(tmp_path, 34)  # of two requests
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(files)
    page.get_by_label("Identity", exact=True).fill("anna")
    all_pictures_are_there(page)
    files[5].unlink()
    page.get_by_role("button", name="Enrol 34 pictures").click()
    page.wait_for_selector("text=33 enrolled · 1 failed")
    assert identities(service, gallery) == {"anna": 33}
    told = page.locator(".files li", has_text="“05.jpg” cannot be read any more.")
    assert "Choose it again." in told.inner_text()
