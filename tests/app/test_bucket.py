"""The whole service with its pictures on S3."""

from pathlib import Path

import pytest

from app.application import create_app
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files, names, query, refused
from tests.app.server import serving
from tests.index.bucket import CREDENTIALS, Relay, S3Server


def test_the_whole_way(
    bucket: str, relay: Relay, s3_server: S3Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tiny_settings(tmp_path, blob_url=f"s3://{bucket}/pictures", log_level="debug")
    with serving(create_app(settings)) as client:
        anna = enrol(client, person(0), "anna")
        enrol(client, person(1), "bert")
        assert client.get(f"/gallery/{anna}/image").content == person(0)
        relay.become("closing")
        refused(client.post("/gallery", files=files([person(2)]), data={"identity": "carl"}), 503, "not_ready")
        refused(client.get(f"/gallery/{anna}/image"), 503, "not_ready")
        assert names(query(client, person(0)))[0] == "anna"
        assert client.get("/health/ready").status_code == 200  # it can be asked
        relay.become("passing")
        enrol(client, person(2), "carl")
        erased = client.delete("/identities/anna").json()
        assert (erased["images_deleted"], erased["verified"]) == (1, True)
        assert len(s3_server.driver.find(f"{bucket}/pictures")) == 2
        told = client.get("/settings").text
    for secret in CREDENTIALS.values():
        assert secret == "us-east-1" or secret not in told + caplog.text + repr(settings.shown())
