"""What every answer tells a browser, whatever the route: take the content as it is named, and keep nothing of it."""

import base64
import hashlib
import re
from typing import TypeAlias

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
_STANDARD = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",  # a path may hold a person's name
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",  # no other site shows these pictures
    b"cache-control": b"no-store",  # erased is erased, in caches too
}
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def with_standard(headers: RawHeaders) -> RawHeaders:
    """Add those that an answer has not set itself."""
    there = {name.lower() for name, _ in headers}
    return [*headers, *((name, value) for name, value in _STANDARD.items() if name not in there)]


def page_headers(page: str) -> dict[str, str]:
    """Return what a page of the console needs: it runs its own inline script and nothing else, and may be kept."""
    allowed: dict[str, str] = {"script": "", "style": ""}
    for kind, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[kind] += f" 'sha256-{digest}'"
    policy = (
        f"default-src 'none'; script-src 'self'{allowed['script']}; style-src 'self'{allowed['style']}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
