"""Keys are made, compared, used and revoked, and their text is nowhere."""

import hashlib
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from index import clock
from index.errors import InvalidValue, KeyNotFound, StoreUnavailable
from index.gallery import GalleryStore
from index.keys import Keys, Scope
from index.records import Action
from tests.index.people import enrol, open_store, sample


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/reid.db"


def test_a_key_is_known_by_its_text(store: GalleryStore) -> None:
    before = datetime.now(UTC)
    made, text = store.keys.create([Scope.QUERY, Scope.ADMIN], gallery="shop", rate=2.5, label="till 4")
    assert re.fullmatch(rf"reid_{made.key_id}_[A-Za-z0-9_-]{{43}}", text)  # 43 characters of base64 are 256 bits
    assert store.keys.verify(text) == made
    assert (made.names(), made.gallery, made.rate, made.label) == (["query", "admin"], "shop", 2.5, "till 4")
    assert (before <= made.created_at <= datetime.now(UTC), made.last_used_at, made.revoked_at) == (True, None, None)


def test_keys_have_nothing_in_common(store: GalleryStore) -> None:
    made = [store.keys.create([Scope.QUERY]) for _ in range(50)]
    assert len({key.key_id for key, _ in made}) == len({text.split("_", 2)[2] for _, text in made}) == 50
    assert [key for key, _ in made] == store.keys.all()


def test_another_text_is_no_key(store: GalleryStore) -> None:
    made, text = store.keys.create([Scope.QUERY])
    _, other = store.keys.create([Scope.QUERY])
    last = "A" if text[-1] != "A" else "E"
    mixed = f"reid_{made.key_id}_{other[18:]}"
    for wrong in ("", "reid", text[:-1], text + "A", text[:-1] + last, text.upper(), f" {text}", f"{text}\n", mixed):
        assert store.keys.verify(wrong) is None, wrong
    assert store.keys.verify(f"reid_{'0' * 12}_{text[18:]}") is None


def test_secrets_are_compared_in_constant_time(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = store.keys.create([Scope.QUERY])
    monkeypatch.setattr("index.keys.hmac.compare_digest", lambda *_: False)
    assert store.keys.verify(text) is None


def test_a_revocation_is_seen_at_once_by_another_store_of_the_folder(folder: Path, store: GalleryStore) -> None:
    with open_store(folder) as other, Keys.open(url(folder)) as alone:
        made, text = other.keys.create([Scope.QUERY])
        assert store.keys.verify(text) == alone.verify(text) == made
        revoked = alone.revoke(made.key_id)
        assert revoked.revoked_at is not None
        assert store.keys.verify(text) is other.keys.verify(text) is None
        assert other.keys.revoke(made.key_id) == revoked  # and a second one changes nothing


def test_a_revoked_key_is_still_one_that_was_made(store: GalleryStore) -> None:
    assert not store.keys.made()
    made, _ = store.keys.create([Scope.QUERY])
    store.keys.revoke(made.key_id)
    assert store.keys.made()


def test_a_key_that_is_not_there_cannot_be_revoked(store: GalleryStore) -> None:
    _, text = store.keys.create([Scope.QUERY])
    with pytest.raises(KeyNotFound, match="no key has the id 000000000000"):
        store.keys.revoke("0" * 12)
    with pytest.raises(KeyNotFound) as caught:
        store.keys.revoke(text)
    assert text[18:] not in str(caught.value)


def test_what_cannot_be_a_key_is_refused(store: GalleryStore) -> None:
    for wrong in ({"rate": 0.0}, {"rate": float("nan")}, {"gallery": "../x"}, {"label": "\n"}):
        with pytest.raises(InvalidValue):
            store.keys.create([Scope.QUERY], **wrong)
    with pytest.raises(InvalidValue, match="at least one scope out of query, enroll, admin"):
        store.keys.create([])
    assert not store.keys.made()


def test_a_use_is_written_down_once_a_minute(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = store.keys.create([Scope.QUERY])
    start = 1_800_000_000_000_000
    times = iter([start + second * 1_000_000 for second in (0, 1, 59, 60, 61, 119, 120)])
    monkeypatch.setattr(clock, "now", lambda: next(times))
    seen = []
    for _ in range(7):
        store.keys.touch(made.key_id)
        [key] = store.keys.all()
        assert key.last_used_at is not None
        seen.append((key.last_used_at - datetime.fromtimestamp(start / 1e6, UTC)) / timedelta(seconds=1))
    assert seen == [0, 0, 0, 60, 60, 60, 120]


def test_keys_that_come_and_go_are_in_the_audit_log(store: GalleryStore) -> None:
    made, _ = store.keys.create([Scope.ADMIN], gallery="shop")
    store.keys.revoke(made.key_id, actor="0" * 12)
    store.keys.revoke(made.key_id)
    told = [(each.action, each.key_id, each.gallery, each.actor, each.samples) for each in store.audit(limit=9).items]
    assert told == [
        (Action.REVOKE_KEY, made.key_id, "shop", "0" * 12, 0),
        (Action.CREATE_KEY, made.key_id, "shop", None, 0),
    ]


def test_a_deletion_names_the_key_that_asked_for_it(store: GalleryStore) -> None:
    keys = enrol(store, [sample(1, "a"), sample(2, "b")])
    store.put_gallery("shop")
    store.delete("default", keys[0], "1" * 12)
    store.erase("default", "b", "2" * 12)
    store.delete_gallery("shop", "3" * 12)
    assert [each.actor for each in store.audit(limit=9).items] == ["3" * 12, "2" * 12, "1" * 12]


def test_no_byte_of_the_folder_tells_the_secret(folder: Path, store: GalleryStore) -> None:
    made, text = store.keys.create([Scope.ADMIN])
    assert store.keys.verify(text) == made
    store.keys.touch(made.key_id)
    secret = text[18:].encode()
    plain = {secret, hashlib.sha256(secret).digest(), hashlib.blake2b(secret, digest_size=32).digest()}
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert made.key_id.encode() in written
    assert [each for each in plain if each in written] == []


def test_the_database_alone_is_opened(tmp_path: Path) -> None:
    code = (
        "import sys; from index.keys import Keys, Scope;"
        "Keys.open(sys.argv[1]).create([Scope.QUERY]); print({'faiss', 'onnxruntime', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
    assert [path.name for path in (tmp_path / "data").iterdir() if not path.name.startswith("reid.db")] == []
    with open_store(tmp_path / "data") as store:
        assert store.keys.made()


def test_a_database_that_is_being_restored_has_no_keys_yet(tmp_path: Path) -> None:
    (tmp_path / "reid.db.restoring").touch()
    with pytest.raises(StoreUnavailable, match="cut short"):
        Keys.open(url(tmp_path))


def test_a_look_up_is_one_row_by_its_index(folder: Path, store: GalleryStore) -> None:
    connection = sqlite3.connect(folder / "reid.db")
    plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM keys WHERE keys.id = ?", ("0" * 12,)).fetchall()
    connection.close()
    assert [row[3] for row in plan] == ["SEARCH keys USING INDEX sqlite_autoindex_keys_1 (id=?)"]
