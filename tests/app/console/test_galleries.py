"""Galleries: what making one must not do to one that is there."""

import httpx

from tests.app.console.conftest import Watched


def test_making_a_gallery_leaves_one_of_that_name_alone(watched: Watched, service: httpx.Client, gallery: str) -> None:
    def settings() -> list[object]:
        return [each for each in service.get("/galleries").json()["items"] if each["name"] == gallery]

    before = settings()
    page = watched.open("galleries")
    page.get_by_role("button", name="Make a gallery").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(gallery)
    dialog.get_by_label("Days to keep").fill("1")
    dialog.get_by_role("button", name="Make").click()
    dialog.get_by_role("alert").wait_for()
    assert f"The gallery “{gallery}” is there already; “Change” sets it." in dialog.get_by_role("alert").inner_text()
    assert settings() == before
