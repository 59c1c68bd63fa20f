"""The key: asked for once, kept in the tab's memory alone, and sent with everything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext

from app.application import create_app
from index.keys import Keys, Scope
from tests.app.console.conftest import DESKTOP, Watched
from tests.app.console.steps import SOON, all_pictures_are_there, enrol, picture, ranked
from tests.app.parts import tiny_settings
from tests.app.server import serving


@dataclass(frozen=True)
class Locked:
    """A service that asks for keys, with two people in its galleries `default` and `own`."""

    client: httpx.Client
    keys: Keys
    admin: str

    def key(self, *scopes: Scope, gallery: str | None = None) -> str:
        return self.keys.create(scopes, gallery=gallery)[1]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    settings = tiny_settings(tmp_path_factory.mktemp("locked"))
    with serving(create_app(settings)) as client, Keys.open(settings.database_url) as keys:
        admin = keys.create([Scope.ADMIN])[1]
        client.headers["Authorization"] = f"Bearer {admin}"
        client.put("/galleries/own", json={}).raise_for_status()
        enrol(client, "default", [0, 1])
        enrol(client, "own", [0, 1], names=["own0", "own1"])
        yield Locked(client, keys, admin)


@pytest.fixture
def guarded(contexts: Callable[[dict[str, Any]], BrowserContext], locked: Locked) -> Iterator[Watched]:
    """A page of that service."""
    context = contexts({"viewport": dict(zip(("width", "height"), DESKTOP, strict=True))})
    watched = Watched(context, str(locked.client.base_url).rstrip("/"))
    watched.refusals = {401, 403}
    yield watched
    watched.page.close()
    assert not watched.wrong


def give(watched: Watched, key: str) -> None:
    watched.page.get_by_role("dialog", name="Enter a key").get_by_label("Key").fill(key)
    watched.page.keyboard.press("Enter")


def test_it_is_asked_for_once_and_kept_in_memory_only(guarded: Watched, locked: Locked) -> None:
    page = guarded.open("identities?identity=p0")
    give(guarded, "wrong")
    page.wait_for_selector("text=The key was refused: expected a key")
    assert page.locator("dialog").count() == 1
    give(guarded, locked.admin)
    page.wait_for_selector(".samples .card")
    all_pictures_are_there(page)
    sources = page.evaluate("[...document.querySelectorAll('.samples img')].map(each => each.src.slice(0, 5))")
    assert sources == ["blob:", "blob:"]
    assert page.locator("dialog").count() == 0
    for view in ("Models", "Galleries", "System", "Query"):
        page.get_by_role("link", name=view, exact=True).first.click()
        page.wait_for_selector(f"h1 >> text={view}")
    assert page.locator("dialog").count() == 0
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert kept == '[{},{},""]'
    assert locked.admin not in page.url
    page.reload()
    page.get_by_role("dialog", name="Enter a key").wait_for()


def test_object_urls_are_given_back(guarded: Watched, locked: Locked) -> None:
    guarded.page.add_init_script(
        """const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL]; window.open_urls = new Set();
        URL.createObjectURL = blob => { const url = make.call(URL, blob); open_urls.add(url); return url; };
        URL.revokeObjectURL = url => { open_urls.delete(url); revoke.call(URL, url); };"""
    )
    page = guarded.open("identities?identity=p0")
    give(guarded, locked.admin)
    page.wait_for_selector(".samples .card")
    all_pictures_are_there(page)
    assert page.evaluate("open_urls.size") == 2
    page.get_by_role("link", name="System").click()
    page.wait_for_selector("text=Everything works")
    assert page.evaluate("open_urls.size") == 0


def test_who_gives_none_is_told_and_may_give_it_later(guarded: Watched, locked: Locked) -> None:
    page = guarded.open("identities")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_selector("text=A key is needed")
    assert page.locator("dialog").count() == 0
    page.get_by_role("button", name="Enter a key").click()
    give(guarded, locked.admin)
    page.wait_for_selector(".people .card")


def test_a_key_without_the_scope_is_told_which_and_may_be_changed(guarded: Watched, locked: Locked) -> None:
    page = guarded.open("galleries")
    give(guarded, locked.key(Scope.QUERY))
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "The key does not allow this" in alert.inner_text()
    assert "Your key needs the scope “admin” for this." in alert.inner_text()
    assert page.get_by_role("textbox", name="Gallery").is_visible()  # who may not list them names one
    alert.get_by_role("button", name="Use another key").click()
    give(guarded, locked.admin)
    page.wait_for_selector(".cards .card")


def test_a_key_of_one_gallery_searches_in_it(guarded: Watched, locked: Locked) -> None:
    page = guarded.open("query")
    give(guarded, locked.key(Scope.QUERY, gallery="own"))
    page.wait_for_selector(".dropzone")
    page.get_by_label("Choose pictures").set_input_files(picture(1))
    assert ranked(page)[0] == "own1"
    all_pictures_are_there(page)
    page.locator(".ranked .sample").first.click()
    page.wait_for_selector("text=3 samples searched")
    all_pictures_are_there(page)


def test_pictures_that_come_faster_than_the_keys_rate_are_waited_for(guarded: Watched, locked: Locked) -> None:
    guarded.refusals |= {429}
    guarded.page.add_init_script(SOON)
    busy = {"status": 429, "code": "overloaded", "detail": "expected at most 20 requests a second with this key"}
    for asked in ("**/gallery?*identity=p0*", "**/gallery/*/image*"):
        guarded.page.route(
            asked, lambda route: route.fulfill(status=429, json=busy, headers={"Retry-After": "1"}), times=2
        )
    page = guarded.open("identities")
    give(guarded, locked.key(Scope.QUERY))
    page.wait_for_function("() => document.querySelectorAll('.people .picture').length === 2")
    page.wait_for_function("() => document.querySelectorAll('.people .picture img').length === 2")
    all_pictures_are_there(page)


def test_a_change_of_key_keeps_the_files_that_were_chosen(guarded: Watched, locked: Locked) -> None:
    page = guarded.open("enrol")
    give(guarded, locked.key(Scope.QUERY))
    page.get_by_label("Choose pictures").set_input_files([picture(0), picture(1)])
    page.get_by_label("Identity", exact=True).fill("anna")
    page.get_by_role("button", name="Enrol 2 pictures").wait_for()
    page.get_by_role("button", name="Key").click()
    page.get_by_role("button", name="Forget it").click()
    give(guarded, locked.admin)
    page.get_by_role("button", name="Enrol 2 pictures").wait_for()
    assert page.get_by_label("Identity", exact=True).input_value() == "anna"
