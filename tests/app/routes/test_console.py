import re
from importlib.resources import files

import httpx
import pytest

from tests.app.routes.calls import refused

FOLDER = files("app") / "console"
NAMES = sorted(each.name for each in FOLDER.iterdir() if each.name.endswith((".js", ".css", ".svg")))
PAGES = ["/", "/docs"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_no_other_host(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?://|src=\"//|@import", page.text)
    for link in re.findall(r'(?:href|src)="(/[^"]*)"', page.text):
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("path", [*PAGES, "/console/main.js", "/console/style.css", "/console/icon.svg"])
def test_nothing_but_the_services_own_files_may_run(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_markup_holds_neither_script_nor_style(client: httpx.Client, path: str) -> None:
    markup = client.get(path).text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", markup)
    assert re.findall(r"<script[^>]*>(.*?)</script>", markup, re.DOTALL) == [""]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_kept_by_browsers_until_it_changes(client: httpx.Client, name: str) -> None:
    first = client.get(f"/console/{name}")
    assert first.status_code == 200
    assert first.content == (FOLDER / name).read_bytes()
    assert first.headers["cache-control"] == "no-cache"
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
    assert first.headers["content-type"].partition(";")[0] == kind
    again = client.get(f"/console/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = client.get(f"/console/{name}", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize("name", [each for each in NAMES if each.endswith(".js")])
def test_a_module_puts_text_in_as_text_and_imports_what_is_there(name: str) -> None:
    code = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie", code)
    assert set(re.findall(r"https?://[^\"' ]+", code)) <= {"http://www.w3.org/2000/svg"}  # a namespace, not a host
    assert set(re.findall(r'from "\./([^"]+)"', code)) <= set(NAMES)
    assert len(code.splitlines()) <= 400


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "index.html",
        "docs.html",
        "main.py",
        "%2e%2e%2fsettings.py",
        "a/b.js",
        "main.js%00",
        "MAIN.js",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    refused(client.get(f"/console/{name}"), 404, "not_found")
