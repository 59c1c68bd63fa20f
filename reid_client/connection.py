"""Where the service is and with which key; the package's only reader of the environment."""

import os
from dataclasses import dataclass, field

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "REID_URL"
KEY_VARIABLE = "REID_KEY"
CONNECT_SECONDS = 5.0
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Connection:
    """What every request of a client has in common."""

    url: str
    key: str | None = field(repr=False)
    timeout: httpx.Timeout

    @property
    def headers(self) -> dict[str, str]:
        """The key, where there is one; `Authorization` is left to user and password for a proxy in the address."""
        return {} if self.key is None else {"X-API-Key": self.key}


def connection(url: str | None, key: str | None, timeout: float) -> Connection:
    """Return the connection that arguments and, where they are None, `REID_URL` and `REID_KEY` describe."""
    address = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    _require_address(address)
    key = (key or os.environ.get(KEY_VARIABLE) or "").strip()  # one read from a file ends with its line
    if not all("!" <= char <= "~" for char in key):
        raise ValueError("expected a key as `reid keys create` prints it, found one with spaces or other characters")
    return Connection(address, key or None, httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)))


def _require_address(address: str) -> None:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as exc:
        raise ValueError(f"expected an address such as {DEFAULT_URL}: {exc}") from exc
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"expected an address such as {DEFAULT_URL}, found {address!r}")
