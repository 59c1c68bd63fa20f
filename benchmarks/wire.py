"""HTTP that costs the client almost nothing: prebuilt request bytes over kept-alive connections."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

BOUNDARY = b"reid-benchmark-boundary-7f3a"


def post(path: str, images: Sequence[bytes], fields: Mapping[str, str]) -> bytes:
    """Return a whole multipart request with `image` files and plain fields."""
    parts = [_part(b'name="image"; filename="image.jpg"', data) for data in images]
    parts += [_part(f'name="{name}"'.encode(), value.encode()) for name, value in fields.items()]
    body = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n\r\n"
    )
    return head.encode() + body


def _part(disposition: bytes, data: bytes) -> bytes:
    return b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + data + b"\r\n"


class Connection:
    """One kept-alive connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        return status, await self._reader.readexactly(length)

    async def ask(self, request: bytes) -> dict[str, Any]:
        """Send a request that must be answered with 200 and return the JSON."""
        status, body = await self.send(request)
        if status != 200:
            raise RuntimeError(f"expected 200, found {status}: {body[:300]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
