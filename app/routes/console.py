"""The console: pages, styles and modules that a browser needs, nothing of them from another host."""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.headers import page_headers

router = APIRouter(include_in_schema=False)
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAME = re.compile(r"[a-z]{1,32}\.(css|js|svg)", re.ASCII)  # no path, so nothing outside the folder


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


@router.get("/")
async def console_page(request: Request) -> Response:
    """Return the console."""
    return _answer(request, "index.html")


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """Return the page that shows /openapi.json."""
    return _answer(request, "docs.html")


@router.get("/console/{name}")
async def console_file(request: Request, name: str) -> Response:
    """Return a style sheet, module or drawing of the console."""
    if not _NAME.fullmatch(name):
        raise HTTPException(404)
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    try:
        file = _read(name)
    except FileNotFoundError as exc:
        raise HTTPException(404) from exc
    headers = {**page_headers(), "ETag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers={**headers, "Content-Type": file.media_type})


@cache
def _read(name: str) -> _File:
    content = (files("app") / "console" / name).read_bytes()
    return _File(content, _MEDIA_TYPES[name.rpartition(".")[2]], f'"{sha256(content).hexdigest()[:32]}"')
