"""Pictures on S3: what other processes do counts at once, and a store that is away costs nothing but the wait."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index import pictures as module
from index.errors import DeletionUnfinished, InvalidValue, PictureNotStored, StoreDamaged, StoreUnavailable
from index.gallery import GalleryStore
from index.migration import State
from index.pictures import PictureStore
from index.restore import restore
from tests.index.bucket import Relay, S3Server
from tests.index.moving import NEW, NEW_DIM, fill, move
from tests.index.people import DIM, VERSION, enrol, sample
from tests.index.test_pictures import by_digest, digest

_OTHER = """
import sys
from index.pictures import PictureStore
store = PictureStore(sys.argv[1])
if sys.argv[2] == "put":
    store.put({bytes.fromhex(sys.argv[3]): sys.argv[4].encode()})
else:
    store.remove([bytes.fromhex(sys.argv[3])])
store.close()
"""

_DYING = """
import os, signal, sys
from index.enrolment import Enrolment
from index.gallery import GalleryStore
from tests.index.people import DIM, VERSION, enrol, sample
Enrolment._commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
url = f"sqlite:///{sys.argv[1]}/reid.db"
with GalleryStore.open(url, f"s3://{sys.argv[2]}/pictures", model_version=VERSION, dim=DIM) as store:
    enrol(store, [sample(2, "b")])
"""


def elsewhere(url: str, verb: str, data: bytes) -> None:
    """Put or remove a picture in another process."""
    command = [sys.executable, "-c", _OTHER, url, verb, digest(data).hex(), data.decode()]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for an answer: the real waits would make the tests long."""
    monkeypatch.setitem(module._S3_OPTIONS["config_kwargs"], "read_timeout", 1)


@pytest.fixture
def held(bucket: str, impatient: None) -> Iterator[PictureStore]:
    store = PictureStore(f"s3://{bucket}/pictures")
    yield store
    store.close()


@pytest.fixture
def store(bucket: str, impatient: None, tmp_path: Path) -> Iterator[GalleryStore]:
    with _open(tmp_path, bucket) as opened:
        yield opened


def _open(folder: Path, bucket: str) -> GalleryStore:
    return GalleryStore.open(f"sqlite:///{folder}/reid.db", f"s3://{bucket}/pictures", model_version=VERSION, dim=DIM)


def test_what_another_process_does_counts_at_once(held: PictureStore, bucket: str) -> None:
    held.put(by_digest(b"one"))
    assert list(held.stored()) == [digest(b"one")]  # a listing, which a driver may remember
    url = f"s3://{bucket}/pictures"
    elsewhere(url, "remove", b"one")
    elsewhere(url, "put", b"two")
    assert held.missing([digest(b"one"), digest(b"two")]) == [digest(b"one")]
    assert held.remove([digest(b"one"), digest(b"two")]) == {digest(b"two")}
    assert list(held.stored()) == []


def test_an_erasure_reads_back_what_is_there_and_not_a_listing(store: GalleryStore) -> None:
    enrol(store, [sample(1, "a"), sample(2, "b")])
    store.check()  # lists
    assert store.erase("default", "a").verified
    assert store.check().clean
    assert store.erase("default", "b").images_deleted == 1


def test_a_server_that_is_away_is_told_as_such(held: PictureStore, relay: Relay) -> None:
    held.put(by_digest(b"one"))
    relay.become("closing")
    calls: list[Callable[[], object]] = [
        lambda: held.put(by_digest(b"two")),
        lambda: held.get(digest(b"one")),
        lambda: held.missing([digest(b"one")]),
        lambda: list(held.stored()),
        lambda: held.remove([digest(b"one")]),
        held.require,
        lambda: PictureStore("s3://any/pictures"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="expected an answer") as caught:
            call()
        assert "127.0.0.1" not in str(caught.value)
        assert caught.value.__suppress_context__  # a trace would show the address
    relay.become("passing")
    assert held.missing([digest(b"one"), digest(b"two")]) == [digest(b"two")]
    assert held.get(digest(b"one")) == b"one"


def test_a_server_without_an_answer_is_given_up_soon(
    held: PictureStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = by_digest(*(b"%d" % number for number in range(100)))
    relay.become("silent")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_PUT_SECONDS", 1.0)
        with pytest.raises(StoreUnavailable, match="expected an answer"):
            held.put(many)
    assert relay.calls <= 2 * 16  # those under way, twice, and not a hundred
    relay.become("passing")
    held.put(many)
    assert held.missing(many) == []


def test_the_port_that_nobody_listens_on_is_told_as_such(relay: Relay) -> None:
    relay.close()
    with pytest.raises(StoreUnavailable, match="expected an answer"):
        PictureStore("s3://any/pictures")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("denying", "AccessDenied: expected credentials that the server takes"),
        ("failing", "SlowDown: expected an answer"),
    ],
)
def test_a_server_that_refuses_is_told_with_its_reason(
    held: PictureStore, relay: Relay, state: str, expected: str
) -> None:
    held.put(by_digest(b"one"))
    relay.become(state)
    calls: list[Callable[[], object]] = [
        lambda: held.put(by_digest(b"two")),
        lambda: held.remove([digest(b"one")]),
        lambda: list(held.stored()),
        lambda: PictureStore("s3://any/pictures"),
    ]
    told = []
    for call in calls:
        with pytest.raises(StoreUnavailable) as caught:
            call()
        told.append(str(caught.value))
    assert expected in told[0]
    assert expected in told[2]
    short = expected.partition(": ")[2]  # of what is asked by HEAD the answer is a number only
    assert [each for each in told if short not in each] == []
    relay.become("passing")
    assert held.get(digest(b"one")) == b"one"


@pytest.mark.parametrize("state", ["closing", "denying"])
def test_nothing_is_lost_while_the_server_is_away(store: GalleryStore, relay: Relay, state: str) -> None:
    *_, third = enrol(store, [sample(1, "a"), sample(2, "b"), sample(4, "d")])
    relay.become(state)
    with pytest.raises(StoreUnavailable):
        store.enrol("default", [sample(3, "c")], model_version=VERSION)
    with pytest.raises(DeletionUnfinished, match="the identity is deleted and nobody finds it any more"):
        store.erase("default", "a")
    with pytest.raises(DeletionUnfinished, match="the sample is deleted and nobody finds it any more"):
        store.delete("default", third)
    relay.become("passing")
    store.retention.expire()  # as the service does by itself: what could not be removed is
    report = store.check()
    assert (report.problems, report.pictures, report.orphans) == ((), 1, 0)
    enrol(store, [sample(3, "c")])
    assert store.erase("default", "b").verified


def test_no_transaction_waits_for_a_dead_server(
    store: GalleryStore, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(store, [sample(1, "a")])
    relay.become("closing")
    remove = PictureStore.remove
    monkeypatch.setattr(PictureStore, "remove", lambda *_: pytest.fail("inside the transaction"))
    with pytest.raises(StoreUnavailable):
        store.erase("default", "a")
    with pytest.raises(StoreUnavailable):
        store.enrol("default", [sample(2, "b")], model_version=VERSION)
    monkeypatch.setattr(PictureStore, "remove", remove)
    relay.become("passing")
    store.retention.expire()
    assert store.check().clean


def test_a_bucket_that_is_not_there_holds_no_removed_pictures(
    held: PictureStore, bucket: str, s3_server: S3Server
) -> None:
    with pytest.raises(StoreUnavailable, match="make it, or correct the address"):
        PictureStore("s3://no-such-bucket/pictures")
    held.put(by_digest(b"one"))
    s3_server.driver.rm(bucket, recursive=True)
    calls: list[Callable[[], object]] = [
        lambda: held.missing([digest(b"one")]),
        lambda: held.remove([digest(b"one")]),
        lambda: held.get(digest(b"one")),
        lambda: held.put(by_digest(b"two")),
        lambda: list(held.stored()),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="make it, or correct the address"):
            call()


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_a_bucket_with_versions_is_refused(bucket: str, s3_server: S3Server, status: str) -> None:
    s3_server.driver.call_s3("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": status})
    with pytest.raises(InvalidValue, match="without versioning"):
        PictureStore(f"s3://{bucket}/pictures")


def test_versions_that_are_kept_since_the_start_are_not_called_erased(
    store: GalleryStore, bucket: str, s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    enrol(store, [sample(1, "a")])
    s3_server.driver.make_bucket_versioned(bucket)
    assert not store.erase("default", "a").verified
    assert "left something in the versions of the bucket" in caplog.text


def test_a_picture_that_was_altered_is_damaged(held: PictureStore, bucket: str, s3_server: S3Server) -> None:
    held.put(by_digest(b"one"))
    name = digest(b"one").hex()
    s3_server.driver.pipe_file(f"{bucket}/pictures/{name[:2]}/{name}", b"on")
    with pytest.raises(StoreDamaged):
        held.get(digest(b"one"))
    held.put(by_digest(b"one"))
    assert held.get(digest(b"one")) == b"one"
    with pytest.raises(PictureNotStored):
        held.get(digest(b"two"))


def test_credentials_that_are_missing_are_asked_for(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreUnavailable, match="NoCredentialsError: expected credentials"):
        PictureStore(f"s3://{bucket}/pictures")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://me:secret@bucket/pictures", "found credentials in it"),
        ("simplecache::s3://bucket/pictures", "a cache would keep what is erased"),
        ("nosuch://bucket/pictures", "found nosuch://"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_secrets(url: str, expected: str) -> None:
    with pytest.raises(InvalidValue, match="REID_BLOB_URL") as caught:
        PictureStore(url)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value).lower().replace("aws_secret", "")


def test_a_gallery_on_s3_is_moved_backed_up_restored_and_deleted(
    store: GalleryStore, s3_server: S3Server, tmp_path: Path
) -> None:
    keys = fill(store)
    assert move(store).state is State.SWITCHED  # which reads the pictures
    made = store.backup(tmp_path / "backups")
    assert (made.pictures, made.copied) == (len(keys), len(keys))
    other = s3_server.make()
    url = f"sqlite:///{tmp_path}/restored/reid.db"
    done = restore(tmp_path / "backups", url, f"s3://{other}/pictures")
    assert done.report.clean
    with GalleryStore.open(url, f"s3://{other}/pictures", model_version=NEW, dim=NEW_DIM) as restored:
        assert restored.picture("default", keys[0]) == b"picture 0"
        assert restored.delete_gallery("default").verified
        assert restored.check().orphans == 0
    assert s3_server.driver.find(f"{other}/pictures") == []
    assert store.check().clean


def test_pictures_that_a_killed_process_left_are_counted_and_removed(
    store: GalleryStore, bucket: str, tmp_path: Path
) -> None:
    enrol(store, [sample(1, "a")])
    command = [sys.executable, "-c", _DYING, str(tmp_path), bucket]
    died = subprocess.run(command, check=False, timeout=120, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert died.returncode == -9
    report = store.check()
    assert (report.problems, report.pictures, report.orphans) == ((), 1, 1)
    store.rebuild()
    assert store.check().orphans == 0
