"""What people do in the console, and what they look at."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import FilePayload, Page

from tests.app.parts import person

FOLDER = Path(__file__).parent
CONTRAST = (FOLDER / "contrast.js").read_text(encoding="utf-8")
NAMELESS = (FOLDER / "nameless.js").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror=\"alert('hacked')\">/../?#%2F&'\u202e"
BERLIN = {"timezone_id": "Europe/Berlin"}  # far from UTC, and an hour is there twice in autumn
# Files arrive by a paste or a drop as they do by hand: in a DataTransfer.
SEND = """([type, selector, pictures]) => {
  const transfer = new DataTransfer();
  for (const each of pictures) {
    const bytes = Uint8Array.from(atob(each), sign => sign.charCodeAt(0));
    transfer.items.add(new File([bytes], 'a.jpg', {type: 'image/jpeg'}));
  }
  const event = type === 'paste' ? new ClipboardEvent(type, {clipboardData: transfer, bubbles: true, cancelable: true})
    : new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true});
  document.querySelector(selector).dispatchEvent(event);
}"""

# What is looked at again is looked at soon, not in seconds.
SOON = "const later = setTimeout; setTimeout = (act, ms) => later(act, ms / 100);"

# What a page holds: object URLs that were made and not revoked, and listeners for the end of a view.
HELD = """window.held = {urls: 0, listeners: 0};
const count = (owner, name, what, step) => {
  const before = owner[name];
  owner[name] = function (...given) { held[what] += step(this, given); return before.apply(this, given); };
};
count(URL, 'createObjectURL', 'urls', () => 1);
count(URL, 'revokeObjectURL', 'urls', () => -1);
const ends = (target, [type]) => Number(target instanceof AbortSignal && type === 'abort');
count(EventTarget.prototype, 'addEventListener', 'listeners', ends);
count(EventTarget.prototype, 'removeEventListener', 'listeners', (...given) => -ends(...given));"""


def a_file(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def picture(identity: int, view: int = 0, camera: int = 0, name: str | None = None) -> FilePayload:
    return a_file(name or f"{identity}-{camera}-{view}.jpg", person(identity, view, camera))


def enrol(
    service: httpx.Client, gallery: str, people: Sequence[int], *, names: Sequence[str] | None = None, view: int = 1
) -> None:
    """Enrol two cameras' pictures of each person; names are p0, p1, ... unless given."""
    labels = names or [f"p{each}" for each in people]
    taken = [(label, each, camera) for label, each in zip(labels, people, strict=True) for camera in (0, 1)]
    metadata = [
        {"identity": label, "camera": f"c{camera}", "captured_at": f"2026-05-0{camera + 1}T10:00:00Z"}
        for label, _, camera in taken
    ]
    answer = service.post(
        "/gallery",
        files=[("image", ("x.jpg", person(each, view, camera))) for _, each, camera in taken],
        data={"gallery": gallery, "metadata": json.dumps(metadata)},
    )
    assert answer.status_code == 201, answer.text


def samples(service: httpx.Client, gallery: str, identity: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/gallery", params={"gallery": gallery, "identity": identity}).json()[
        "items"
    ]
    return found


def identities(service: httpx.Client, gallery: str) -> dict[str, int]:
    items = service.get("/identities", params={"gallery": gallery}).json()["items"]
    return {each["identity"]: each["samples"] for each in items}


def arrive(page: Page, how: str, selector: str, *pictures: bytes) -> None:
    """Paste or drop pictures on an element."""
    page.evaluate(SEND, [how, selector, [base64.b64encode(each).decode() for each in pictures]])


def with_a_key(page: Page) -> None:
    """Let the page use a key, which the service does not see: pictures are then fetched, and shown by object URLs."""
    without = "authorization"
    page.route(
        "**/*",
        lambda route: route.continue_(headers={k: v for k, v in route.request.headers.items() if k != without}),
    )
    page.evaluate("import('/console/api.js').then(api => api.setKey('a key'))")


def all_pictures_are_there(page: Page) -> None:
    """Wait until every picture has been decoded, those to scroll to as well; none may be missing."""
    page.evaluate("[...document.images].forEach(each => { each.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every(each => each.complete && each.naturalWidth > 0)")
    assert page.locator(".picture.missing").count() == 0


def a_person_is_shown(page: Page) -> None:
    """Wait for a person's samples with their pictures: one that is erased before it came is an error on the page."""
    page.wait_for_selector(".samples .card")
    all_pictures_are_there(page)


def ranked(page: Page) -> list[str]:
    page.wait_for_selector(".verdict")
    return page.locator(".ranked .person a").all_inner_texts()
