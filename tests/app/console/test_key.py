"""The key: asked for once, kept in the tab's memory alone, and sent with everything."""

from typing import Any

import httpx
import pytest

from tests.app.console.conftest import Watched
from tests.app.console.steps import all_pictures_are_there, enrol

KEY = "a-key"
OPEN = ("/console/", "/docs", "/openapi.json", "/metrics", "/health/")


@pytest.fixture
def locked(watched: Watched) -> Watched:
    """A page to which the service answers 401 without the key, as it does once keys were made."""

    def guard(route: Any) -> None:  # noqa: ANN401 - Playwright's
        path = route.request.url.removeprefix(watched.address)
        given = route.request.headers.get("authorization")
        if path.startswith(OPEN) or path in ("/", "") or given == f"Bearer {KEY}":
            route.continue_()
        else:
            detail = "expected a key" if given is None else "expected a key that the service knows"
            route.fulfill(
                status=401, json={"status": 401, "code": "unauthorized", "detail": detail, "request_id": "R1"}
            )

    watched.refusals = {401}
    watched.page.route(f"{watched.address}/**", guard)
    return watched


def test_it_is_asked_for_once_and_kept_in_memory_only(locked: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1])
    page = locked.open(f"identities?gallery={gallery}&identity=p0")
    dialog = page.get_by_role("dialog", name="Enter a key")
    dialog.wait_for()
    dialog.get_by_label("Key").fill("wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The key was refused")
    assert page.locator("dialog").count() == 1
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".samples .card")
    all_pictures_are_there(page)
    sources = page.evaluate("[...document.querySelectorAll('.samples img')].map(each => each.src.slice(0, 5))")
    assert sources == ["blob:", "blob:"]
    assert page.locator("dialog").count() == 0
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert kept == '[{},{},""]'
    assert KEY not in page.url
    page.reload()
    dialog.wait_for()


def test_object_urls_are_given_back(locked: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])
    locked.page.add_init_script(
        """const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL]; window.open_urls = new Set();
        URL.createObjectURL = blob => { const url = make.call(URL, blob); open_urls.add(url); return url; };
        URL.revokeObjectURL = url => { open_urls.delete(url); revoke.call(URL, url); };"""
    )
    page = locked.open(f"identities?gallery={gallery}&identity=p0")
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".samples .card")
    all_pictures_are_there(page)
    assert page.evaluate("open_urls.size") == 2
    page.get_by_role("link", name="System").click()
    page.wait_for_selector("text=Everything works")
    assert page.evaluate("open_urls.size") == 0


def test_who_gives_none_is_told_and_may_give_it_later(locked: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])
    page = locked.open(f"identities?gallery={gallery}")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("text=A key is needed")
    assert page.locator("dialog").count() == 0
    page.get_by_role("button", name="Enter a key").click()
    page.get_by_role("dialog").get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".people .card")


def test_a_key_without_the_scope_is_told_which(watched: Watched) -> None:
    watched.refusals = {403}
    forbidden = {"status": 403, "code": "forbidden", "detail": "expected a key with the scope admin, found query"}
    watched.page.route("**/galleries", lambda route: route.fulfill(status=403, json=forbidden))
    page = watched.open("galleries")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "The key does not allow this" in alert.inner_text()
    assert "Your key needs the scope “admin” for this." in alert.inner_text()
    assert page.get_by_role("textbox", name="Gallery").is_visible()  # who may not list them names one
