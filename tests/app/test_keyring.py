import asyncio
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from starlette.datastructures import Headers

from app.callers import Caller
from app.errors import Forbidden, Overloaded, Unauthorized
from app.keyring import Keyring, presented
from index.errors import StoreUnavailable
from index.keys import Keys, Scope
from tests.app.test_limits import Clock

KEY, OTHER = "reid_1", "reid_2"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    with Keys.open(f"sqlite:///{tmp_path}/reid.db") as opened:
        yield opened


def ask(keyring: Keyring, **headers: str) -> Caller:
    return asyncio.run(keyring.caller(Headers({name.replace("_", "-"): text for name, text in headers.items()})))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([("Authorization", f"Bearer {KEY}")], KEY),
        ([("authorization", f"bearer  {KEY} ")], KEY),
        ([("X-API-Key", KEY)], KEY),
        ([("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")], KEY),
        ([("Authorization", "Basic YTpi")], None),
        ([("Authorization", "Basic YTpi"), ("X-API-Key", KEY)], KEY),
        ([("Authorization", KEY)], None),
        ([("Authorization", "Bearer ")], ""),
    ],
)
def test_where_a_key_is_looked_for(headers: list[tuple[str, str]], found: str | None) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    assert presented(Headers(raw=raw)) == found


@pytest.mark.parametrize("second", [("authorization", f"Bearer {OTHER}"), ("x-api-key", OTHER), ("x-api-key", "")])
def test_keys_that_differ_are_none(second: tuple[str, str]) -> None:
    raw = [(b"x-api-key", KEY.encode()), (second[0].encode(), second[1].encode())]
    with pytest.raises(Unauthorized, match="several that differ"):
        presented(Headers(raw=raw))


def test_no_key_is_needed_here_before_one_was_made(keys: Keys) -> None:
    local, reached = Keyring(keys, local=True), Keyring(keys, local=False)
    assert ask(local) == Caller()
    with pytest.raises(Unauthorized, match="found none"):
        ask(reached)
    unknown = f"reid_{'0' * 12}_{'A' * 43}"
    with pytest.raises(Unauthorized, match="expected no key, because none was made yet"):
        ask(local, x_api_key=unknown)
    with pytest.raises(Unauthorized, match="never made"):
        ask(reached, x_api_key=unknown)
    with pytest.raises(Unauthorized, match="found an empty one"):
        ask(reached, authorization="Bearer ")
    made, _ = keys.create([Scope.QUERY])
    keys.revoke(made.key_id)
    with pytest.raises(Unauthorized, match="never made"):
        ask(local, x_api_key=unknown)
    with pytest.raises(Unauthorized, match="found none"):
        ask(local)
    local.close()
    reached.close()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_s_page_needs_a_key_in_any_case(keys: Keys, site: str) -> None:
    keyring = Keyring(keys, local=True)
    for own in ("same-origin", "none"):
        assert ask(keyring, sec_fetch_site=own) == Caller()
    with pytest.raises(Forbidden, match="one of another site"):
        ask(keyring, sec_fetch_site=site)
    made, text = keys.create([Scope.QUERY])
    assert ask(keyring, sec_fetch_site=site, x_api_key=text).key_id == made.key_id
    keyring.close()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "127.3.2.1", "[::1]:8000"])
def test_without_a_key_the_host_is_this_machine(keys: Keys, host: str) -> None:
    keyring = Keyring(keys, local=True)
    assert ask(keyring, host=host) == Caller()
    keyring.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "", "[::"])
def test_a_name_that_was_made_to_lead_here_needs_a_key(keys: Keys, host: str) -> None:
    keyring = Keyring(keys, local=True)
    with pytest.raises(Forbidden, match="loopback address as Host"):
        ask(keyring, host=host, sec_fetch_site="same-origin")
    made, text = keys.create([Scope.QUERY])
    assert ask(keyring, host=host, x_api_key=text).key_id == made.key_id
    keyring.close()


def test_a_key_says_who_calls(keys: Keys) -> None:
    made, text = keys.create([Scope.ENROLL, Scope.QUERY], gallery="own", rate=3)
    keyring = Keyring(keys, local=True)
    assert ask(keyring, x_api_key=text) == Caller(made.key_id, made.scopes, "own", 3)
    keyring.close()


def test_a_rate_is_kept_to(keys: Keys) -> None:
    clock = Clock()
    keyring = Keyring(keys, local=True, clock=clock)
    caller = ask(keyring, x_api_key=keys.create([Scope.QUERY], rate=2)[1])
    for wait in (0.0, 0.0, 0.5):
        clock.now += wait
        keyring.admit(caller)
    with pytest.raises(Overloaded) as caught:
        keyring.admit(caller)
    assert caught.value.retry_after == 1
    for _ in range(100):
        keyring.admit(Caller())
    keyring.close()


def test_a_use_is_written_once_a_minute(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    touched: list[str] = []
    monkeypatch.setattr(keys, "touch", touched.append)
    keyring = Keyring(keys, local=True, clock=clock)
    made, text = keys.create([Scope.QUERY])
    for wait in (0, 30, 29, 1, 59, 1):
        clock.now += wait
        ask(keyring, x_api_key=text)
    with pytest.raises(Unauthorized):
        ask(keyring, x_api_key=text[:-1])
    keyring.close()
    assert touched == [made.key_id] * 3


@pytest.mark.parametrize("fault", [StoreUnavailable("the disk is full"), ValueError("a fault of ours")])
def test_a_use_that_cannot_be_written_is_told_and_no_reason_to_refuse(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    def full(_: str) -> None:
        raise fault

    made, text = keys.create([Scope.QUERY])
    monkeypatch.setattr(keys, "touch", full)
    keyring = Keyring(keys, local=True)
    assert ask(keyring, x_api_key=text).key_id == made.key_id
    keyring.close()
    assert f"the last use of key {made.key_id} could not be written down" in caplog.text
    assert str(fault) in caplog.text
    assert text[18:] not in caplog.text


def test_the_catalogue_is_asked_again_only_when_something_was_committed(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, text = keys.create([Scope.QUERY])
    verify = Mock(wraps=keys.verify)
    monkeypatch.setattr(keys, "verify", verify)
    monkeypatch.setattr(keys, "touch", lambda _: None)
    keyring = Keyring(keys, local=True)
    for _ in range(3):
        assert ask(keyring, x_api_key=text).key_id == made.key_id
    assert verify.call_count == 1
    keys.create([Scope.ADMIN])
    assert ask(keyring, x_api_key=text).key_id == made.key_id
    assert verify.call_count == 2
    keys.revoke(made.key_id)
    with pytest.raises(Unauthorized, match="is revoked"):
        ask(keyring, x_api_key=text)
    keyring.close()


def test_that_no_key_was_made_is_asked_again_only_when_something_was_committed(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mock(wraps=keys.made)
    monkeypatch.setattr(keys, "made", made)
    keyring = Keyring(keys, local=True)
    for _ in range(3):
        assert ask(keyring) == Caller()
    assert made.call_count == 1
    keys.create([Scope.ADMIN])
    with pytest.raises(Unauthorized, match="found none"):
        ask(keyring)
    keyring.close()
