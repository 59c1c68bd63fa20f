import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from app.application import create_app
from tests.app.parts import tiny_settings, write_version
from tests.app.server import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 860), (360, 740)
_REFUSED = re.compile(r"Failed to load resource: (?:the server responded with a status of |net::)(\w+)")


class Watched:
    """A page of the console that notes what must not happen: errors, refused content, requests to another host."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)  # machines may be busy
        self.address = address
        self.wrong: list[str] = []
        self.refusals: set[int | str] = set()  # statuses and failures that the test itself provokes
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"alert: {dialog.message}"))
        self.page.on("request", lambda request: self._see(request.url))

    def open(self, where: str) -> Page:
        """Show a view; the page is loaded anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#/{where}")
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        refused = _REFUSED.match(message.text)
        if refused and refused[1] in map(str, self.refusals):
            return
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _see(self, url: str) -> None:
        if not url.startswith((self.address, f"blob:{self.address}", "about:")):
            self.wrong.append(f"a request to another host: {url}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:  # it runs an event loop in this thread, so it must not outlive the package
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The service with two versions of the tiny model; each test has a gallery of its own."""
    folder: Path = tmp_path_factory.mktemp("console")
    settings = tiny_settings(folder)
    write_version(folder / "models", "tiny@2", shift=90.0)
    with serving(create_app(settings)) as client:
        yield client


@pytest.fixture
def gallery(service: httpx.Client, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"\W+", "-", request.node.name)
    service.put(f"/galleries/{name}", json={}).raise_for_status()
    return name


@pytest.fixture(scope="package")
def contexts(browser: Browser) -> Callable[[dict[str, Any]], BrowserContext]:
    """Contexts by their options: one that is used again starts no process of its own."""
    made: dict[str, BrowserContext] = {}

    def context(options: dict[str, Any]) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = browser.new_context(**options)
        return made[key]

    return context


@pytest.fixture
def watched(
    contexts: Callable[[dict[str, Any]], BrowserContext], service: httpx.Client, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """A page at a desktop's width, or as the test is parametrised with."""
    options: dict[str, Any] = {"viewport": dict(zip(("width", "height"), DESKTOP, strict=True))}
    watched = Watched(contexts(options | getattr(request, "param", {})), str(service.base_url).rstrip("/"))
    yield watched
    watched.page.close()
    assert not watched.wrong
