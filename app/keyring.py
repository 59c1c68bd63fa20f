"""Telling who calls by the key in a request's headers."""

import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.callers import Caller
from app.errors import Forbidden, Unauthorized
from app.limits import Limits
from app.settings import is_loopback
from app.workers import Workers
from index.errors import GalleryError
from index.keys import TOUCH_SECONDS, Key, Keys

log = logging.getLogger(__name__)
_NONE_MADE = "no key was made"
_EXPECTED = "expected a key, as Authorization: Bearer <key> or as X-API-Key: <key>, found"


class Keyring:
    """Tells who calls by the key in the catalogue, read anew after every commit, so that a revocation counts at once.

    `local`: the service is reached from this machine only, so that it needs no key before one was made.
    """

    def __init__(self, keys: Keys, *, local: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._made = not local
        self._clock = clock
        self._limits = Limits(clock)
        self._touched: dict[str, float] = {}
        self._notes = keys.notes()
        # threads of its own: no enrolment or search that waits for the disk keeps a caller from being told
        self._reading = Workers("key", 2, 1024)
        self._touching = ThreadPoolExecutor(1, thread_name_prefix="key use")

    async def caller(self, headers: Headers) -> Caller:
        """Return who calls; raise `Unauthorized` where that is nobody known, `Forbidden` for another site's page."""
        text = presented(headers)
        if text is None:
            return await self._keyless(headers)
        key = await self._known(text)
        if key is None:
            raise Unauthorized(await self._refusal(text))
        self._note_use(key.key_id)
        return Caller(key.key_id, key.scopes, key.gallery, key.rate)

    def admit(self, caller: Caller) -> None:
        """Raise `Overloaded` when the caller's key makes more requests than it may."""
        if caller.key_id is not None and caller.rate is not None:
            self._limits.take(caller.key_id, caller.rate)

    async def _keyless(self, headers: Headers) -> Caller:
        if await self._any_made():
            raise Unauthorized(f"{_EXPECTED} none")
        # a browser on this machine sends forms for any page it shows; programs do not send this header
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Forbidden("expected a page of this service, found one of another site; make a key to call from there")
        # a page's name may be made to lead here once it is loaded (DNS rebinding): to a browser that is no other site
        if not all(is_loopback(_host_name(host)) for host in headers.getlist("host")):
            raise Forbidden("expected localhost or a loopback address as Host, found another; make a key to call by it")
        return Caller()

    async def _refusal(self, text: str) -> str:
        if not await self._any_made():
            return "expected no key, because none was made yet, found one: send none, or make one with reid keys create"
        return f"{_EXPECTED} {'one that was never made, or is revoked' if text else 'an empty one'}"

    async def _any_made(self) -> bool:
        # no key is ever removed: once one was made it stays so, and a stranger costs no look-up
        if not self._made and _NONE_MADE not in (notes := self._notes.current()):
            self._made = await self._reading.run(self._keys.made)
            notes[_NONE_MADE] = None
        return self._made

    async def _known(self, text: str) -> Key | None:
        notes, name = self._notes.current(), hashlib.sha256(text.encode()).digest()
        found: Key | None = notes.get(name)
        if found is None:
            found = await self._reading.run(self._keys.verify, text)
        if found is not None:  # who guesses fills no memory
            notes[name] = found
        return found

    def _note_use(self, key_id: str) -> None:
        """Have the time of the key's last use written, in the background, at most once a minute."""
        now = self._clock()
        if key_id not in self._touched or now - self._touched[key_id] >= TOUCH_SECONDS:
            self._touched[key_id] = now
            self._touching.submit(self._touch, key_id)

    def _touch(self, key_id: str) -> None:
        try:
            self._keys.touch(key_id)
        except GalleryError as exc:  # the request itself may still be answered
            log.warning("the last use of key %s could not be written down: %s", key_id, exc)
        except Exception:  # the boundary of the background: nobody asks what became of it
            log.exception("the last use of key %s could not be written down", key_id)

    def close(self) -> None:
        """Finish what runs, then end the threads."""
        self._reading.close()
        self._touching.shutdown()
        self._notes.close()


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def presented(headers: Headers) -> str | None:
    """Return the one key that a request has; None without any. Raises `Unauthorized` for several that differ."""
    given = {value.strip() for value in headers.getlist("x-api-key")}
    for value in headers.getlist("authorization"):
        scheme, _, text = value.strip().partition(" ")
        if scheme.lower() == "bearer":  # others are for a proxy before the service
            given.add(text.strip())
    if len(given) > 1:
        raise Unauthorized(f"{_EXPECTED} several that differ")
    return next(iter(given), None)
