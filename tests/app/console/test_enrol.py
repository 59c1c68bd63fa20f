"""The enrol view: what becomes of the files that were chosen."""

from pathlib import Path

import httpx
from playwright.sync_api import Route

from tests.app.console.conftest import Watched
from tests.app.console.steps import all_pictures_are_there, arrive, identities, picture, samples
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


def test_files_stay_chosen_while_other_things_are_looked_at(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    page = watched.open("enrol")
    page.get_by_label("Choose pictures").set_input_files([picture(0), picture(1)])
    page.get_by_label("Identity", exact=True).fill("anna")
    page.get_by_label("Camera").fill("gate")
    page.get_by_role("button", name="Enrol 2 pictures").wait_for()
    page.get_by_role("link", name="System").click()
    page.wait_for_selector(".tiles")
    page.evaluate("where => { location.hash = where; }", f"#/enrol?gallery={gallery}")
    page.get_by_role("button", name="Enrol 2 pictures").click()
    page.wait_for_selector("text=2 enrolled")
    assert [each["camera"] for each in samples(service, gallery, "anna")] == ["gate", "gate"]
    page.get_by_role("link", name="System").click()
    page.wait_for_selector(".tiles")
    page.get_by_role("link", name="Enrol", exact=True).click()
    page.wait_for_selector("text=No pictures yet.")
    assert page.get_by_label("Identity", exact=True).input_value() == ""


def test_leaving_while_pictures_are_sent_loses_none(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    held: list[Route] = []
    page.route("**/gallery", lambda route: held.append(route), times=1)
    page.get_by_label("Choose pictures").set_input_files([picture(each) for each in range(34)])
    page.get_by_label("Identity", exact=True).fill("anna")
    asks = "() => !dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert not page.evaluate(asks)
    with page.expect_request("**/gallery"):
        page.get_by_role("button", name="Enrol 34 pictures").click()
    assert page.evaluate(asks)
    page.get_by_role("link", name="System").click()
    page.wait_for_selector(".tiles")
    assert not page.evaluate(asks)
    page.get_by_role("link", name="Enrol", exact=True).click()
    page.get_by_role("button", name="Enrol 34 pictures").click()
    page.wait_for_selector("text=34 enrolled")
    assert identities(service, gallery) == {"anna": 34}


def test_a_date_without_its_time_of_day_is_not_left_out(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    page.get_by_label("Identity", exact=True).fill("anna")
    taken = page.get_by_label("Taken")
    taken.click()
    page.keyboard.type("05012026")
    assert taken.evaluate("each => each.validity.badInput")
    page.get_by_role("button", name="Enrol 1 picture").click()
    assert page.locator(".files .state").inner_text() == "Ready"
    assert taken.evaluate("each => each === document.activeElement && each.validationMessage") == (
        "Give the time of day too, or clear the date."
    )
    taken.fill("2026-05-01T10:00:00")
    page.get_by_role("button", name="Enrol 1 picture").click()
    page.wait_for_selector("text=1 enrolled")
    assert samples(service, gallery, "anna")[0]["captured_at"]


# A drop of a folder in which one file cannot be read; folders cannot be dropped but by hand.
BROKEN_FOLDER = """() => {
  const file = name => ({isFile: true, fullPath: `/anna/${name}`, file: done => done(new File(['x'], name))});
  const broken = {isFile: true, fullPath: '/anna/broken.jpg', file: (_, failed) => failed(new Error('not readable'))};
  const rest = [[file('a.jpg'), broken], [file('b.jpg')], []];
  const folder = {isFile: false, createReader: () => ({readEntries: done => done(rest.shift())})};
  DataTransferItem.prototype.webkitGetAsEntry = () => folder;
}"""


def test_a_dropped_file_that_cannot_be_read_is_counted(watched: Watched, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    page.wait_for_selector(".dropzone")
    page.evaluate(BROKEN_FOLDER)
    arrive(page, "drop", ".dropzone", b"x")
    page.wait_for_selector("text=2 ready · 1 left out")
    assert page.locator(".files .quiet").all_inner_texts() == ["anna/a.jpg · 1 kB", "anna/b.jpg · 1 kB"]
