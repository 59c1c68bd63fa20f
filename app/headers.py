"""What every answer tells a browser, whatever the route: take the content as it is named, and keep nothing of it."""

from typing import TypeAlias

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
_STANDARD = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",  # a path may hold a person's name
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",  # no other site shows these pictures
    b"cache-control": b"no-store",  # erased is erased, in caches too
}
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # with no policy allowed: text never becomes markup
        "trusted-types 'none'",
    )
)


def with_standard(headers: RawHeaders) -> RawHeaders:
    """Add those that an answer has not set itself."""
    there = {name.lower() for name, _ in headers}
    return [*headers, *((name, value) for name, value in _STANDARD.items() if name not in there)]


def page_headers() -> dict[str, str]:
    """Return what a file of the console needs: it runs the service's own scripts and no inline one, and may be kept."""
    return {
        "Content-Security-Policy": _PAGE_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
