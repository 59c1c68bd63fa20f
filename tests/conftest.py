from collections.abc import Iterator

import pytest

from tests.index.bucket import CREDENTIALS, Relay, S3Server, why_not


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Start an S3 server of our own."""
    if reason := why_not():
        pytest.skip(reason)
    with S3Server() as started:
        yield started


@pytest.fixture
def relay(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Return the way to the server that the environment names, which can be cut."""
    made = Relay(s3_server.port)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": made.endpoint}.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def bucket(s3_server: S3Server, relay: Relay) -> str:
    """Make a bucket of the test's own; the environment leads to it."""
    return s3_server.make()
