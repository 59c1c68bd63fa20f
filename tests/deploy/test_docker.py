"""The images, built and run for real: minutes, so they run with the other long tests."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from model.registry import Registry
from model.synthetic import encode_jpeg, render, write_market
from tests.deploy.engine import build, compose, missing, run
from tests.index import bucket as s3
from tests.index import postgres
from tests.tiny_model import write_version

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

IMAGE = "hap2s-reid:0.1.0"
SCALE_IMAGE = "hap2s-reid-scale:0.1.0"
TRAIN_IMAGE = "hap2s-reid-train:0.1.0"
BASE = "python:3.11-slim-bookworm"
PROJECT = "reid-deploy-test"
MOST_BYTES = 400_000_000  # over the base image; torch alone would be ten times that

TRAIN = """
name = "tiny"
description = "a minute of it"
held_out_identities = 4
[network]
backbone = "resnet18"
embedding_dim = 64
[batch]
identities = 4
images = 2
[loss]
[optimiser]
[[stages]]
epochs = 1
height = 64
width = 32
"""


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    if reason := missing():
        pytest.skip(reason)


@dataclass(frozen=True)
class Deployment:
    """The compose file, brought up under a project name and port of its own."""

    port: int

    @property
    def container(self) -> str:
        return self.compose("ps", "-q", "reid").strip()

    def compose(self, *arguments: str) -> str:
        """Run docker-compose on the project and return what it prints."""
        command = (*compose(), "--project-name", PROJECT, *arguments)
        return run(*command, env={"REID_PORT": str(self.port)}).stdout

    def inside(self, *command: str, check: bool = True) -> tuple[int, str]:
        """Run a command in the service's container; return exit code and output."""
        done = run("docker", "exec", self.container, *command, check=check)
        return done.returncode, done.stdout + done.stderr

    def inspect(self, template: str) -> str:
        return run("docker", "inspect", "--format", template, self.container).stdout.strip()

    def up(self) -> None:
        """Start, and return when the health check passes."""
        self.compose("up", "--detach", "--no-build")
        until = time.monotonic() + 120
        while (health := self.inspect("{{.State.Health.Status}}")) != "healthy":
            if time.monotonic() > until:
                raise RuntimeError(f"{health} after two minutes: {self.compose('logs', '--tail', '50')}")
            time.sleep(0.5)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def image() -> str:
    build("serve.Dockerfile", IMAGE)
    return IMAGE


@pytest.fixture(scope="module")
def deployed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Bring the service up with the version tiny@1, imported by the image's own command line."""
    made = write_version(tmp_path_factory.mktemp("version"), height=128, width=64)
    made.chmod(0o755)  # the container's user is another
    deployment = Deployment(free_port())
    data = ("--volume", f"{PROJECT}_data:/data", "--volume", f"{made}:/version:ro")
    deployment.compose("down", "--volumes")
    try:
        imported = run("docker", "run", "--rm", *data, image, "models", "import", "/version", "--json")
        assert json.loads(imported.stdout) == {"version": "tiny@1"}
        run("docker", "run", "--rm", *data, image, "models", "activate", "tiny@1", "--force")
        deployment.up()
        yield deployment
    finally:
        deployment.compose("down", "--volumes")
        run("docker", "volume", "rm", "--force", f"{PROJECT}_data")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def enrol(client: httpx.Client, identities: range) -> None:
    files = [("image", (f"{i}.jpg", encode_jpeg(render(i, 0, 0)), "image/jpeg")) for i in identities]
    metadata = json.dumps([{"identity": f"person {i}", "camera": "c1"} for i in identities])
    answer = client.post("/gallery", files=files, data={"metadata": metadata})
    assert answer.status_code == 201, answer.text


def best_match(client: httpx.Client, identity: int) -> str:
    answer = client.post("/query", files={"image": encode_jpeg(render(identity, 0, 0))})
    assert answer.status_code == 200, answer.text
    best = answer.json()["identities"][0]
    assert best["score"] > 0.9999
    return str(best["identity"])


def test_the_service_enrols_and_finds_through_the_host(deployed: Deployment) -> None:
    with deployed.client() as client:
        enrol(client, range(4))
        assert [best_match(client, i) for i in range(4)] == [f"person {i}" for i in range(4)]


@pytest.mark.parametrize("stop", ["restart", "kill", "remove"])
def test_what_was_enrolled_outlives_the_container(deployed: Deployment, stop: str) -> None:
    identity = 10 + len(stop)
    with deployed.client() as client:
        enrol(client, range(identity, identity + 1))
    stopping: dict[str, Callable[[], object]] = {
        "restart": lambda: deployed.compose("restart"),
        "kill": lambda: deployed.compose("kill"),
        "remove": lambda: deployed.compose("down"),
    }
    stopping[stop]()
    deployed.up()
    with deployed.client() as client:
        assert best_match(client, identity) == f"person {identity}"


def test_it_stops_in_good_order(deployed: Deployment) -> None:
    deployed.compose("stop")
    stopped = run("docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}")
    code = run("docker", "inspect", "--format", "{{.State.ExitCode}}", stopped.stdout.strip()).stdout.strip()
    deployed.up()
    assert code == "0"


def test_it_is_nobody_and_may_nothing(deployed: Deployment) -> None:
    assert deployed.inside("id", "-u")[1].strip() == "10001"
    status = dict(line.split(":\t", 1) for line in deployed.inside("cat", "/proc/1/status")[1].splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("folder", ["/", "/opt/reid", "/home", "/var/tmp"])
def test_the_root_file_system_is_read_only(deployed: Deployment, folder: str) -> None:
    mounts = [line.split()[:4] for line in deployed.inside("cat", "/proc/mounts")[1].splitlines()]
    [root] = [options for _, place, _, options in mounts if place == "/"]
    assert "ro" in root.split(",")
    code, said = deployed.inside("touch", f"{folder}/written", check=False)
    assert code != 0
    assert "Read-only file system" in said


def test_the_data_folder_is_written(deployed: Deployment) -> None:
    with deployed.client() as client:
        enrol(client, range(30, 31))
    assert deployed.inside("test", "-s", "/data/reid.db")[0] == 0


def test_another_address_than_loopback_is_refused(deployed: Deployment) -> None:
    code, said = deployed.inside("reid", "serve", "--host", "0.0.0.0", "--port", "0", check=False)
    assert code == 1
    assert "loopback" in said


def test_the_host_answers_on_loopback_only(deployed: Deployment) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, deployed.port), timeout=5)


@pytest.mark.parametrize("module", ["torch", "torchvision", "onnx", "pytest", "pip"])
def test_nothing_is_in_it_that_serving_does_not_need(deployed: Deployment, module: str) -> None:
    code, said = deployed.inside("python", "-c", f"import {module}", check=False)
    assert code == 1
    assert "ModuleNotFoundError" in said


def test_it_is_small(image: str) -> None:
    size, base = (
        int(run("docker", "image", "inspect", "--format", "{{.Size}}", name).stdout) for name in (image, BASE)
    )
    assert size - base < MOST_BYTES


def test_the_health_check_fails_where_nothing_serves(deployed: Deployment) -> None:
    check = json.loads(deployed.inspect("{{json .Config.Healthcheck.Test}}"))
    assert check[0] == "CMD"
    nothing = ("--env", f"REID_PORT={free_port()}")
    assert run("docker", "exec", deployed.container, *check[1:], check=False).returncode == 0
    assert run("docker", "exec", *nothing, deployed.container, *check[1:], check=False).returncode == 1


def test_the_bundled_version_serves_as_it_comes(image: str) -> None:
    if not Registry(Path("/nowhere")).versions():
        pytest.skip("no version is bundled in this checkout")
    answer = run("docker", "run", "--rm", "--read-only", image, "models", "list", "--json").stdout
    assert json.loads(answer)["active"] == Registry(Path("/nowhere")).active()


def test_the_image_with_drivers_serves_two_on_one_database_and_bucket(tmp_path: Path) -> None:
    """Two containers without a folder in common are one gallery."""
    if reason := postgres.why_not() or s3.why_not():
        pytest.skip(reason)
    build("serve.Dockerfile", SCALE_IMAGE, "--build-arg", "SET=scale")
    made = write_version(tmp_path / "version", height=128, width=64)
    made.chmod(0o755)
    with postgres.PostgreSQL() as server, s3.S3Server() as bucket:
        server.folder.chmod(0o755)  # the socket is in it, and the container's user is another
        address, blobs = server.create("gallery"), f"s3://{bucket.make()}/pictures"
        set_to = {"REID_DATABASE_URL": address, "REID_BLOB_URL": blobs, "REID_LOG_LEVEL": "warning", **s3.CREDENTIALS}
        set_to |= {"AWS_ENDPOINT_URL": bucket.endpoint}
        given = [part for name, value in set_to.items() for part in ("--env", f"{name}={value}")]
        given += ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--volume", f"{server.folder}:{server.folder}"]
        with container(given, made) as first, container(given, made) as second:
            enrol(first, range(3))
            assert [best_match(second, each) for each in range(3)] == [f"person {each}" for each in range(3)]
            erased = second.delete("/identities/person 1").json()
            assert (erased["samples_deleted"], erased["images_deleted"], erased["verified"]) == (1, 1, True)
            assert first.get("/identities").json()["items"] == second.get("/identities").json()["items"]


@contextmanager
def container(given: list[str], version: Path) -> Iterator[httpx.Client]:
    """Serve in a container of its own, with data of its own, until the block ends."""
    volume, port = f"{PROJECT}-{free_port()}", free_port()
    mounts = ("--volume", f"{volume}:/data", "--volume", f"{version}:/version:ro")
    run("docker", "run", "--rm", *mounts, SCALE_IMAGE, "models", "import", "/version")
    serve = ("--env", f"REID_PORT={port}", "--env", "REID_MODEL=tiny@1", SCALE_IMAGE)
    name = run("docker", "run", "--detach", *given, *mounts, *serve).stdout.strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            until = time.monotonic() + 120
            while not ready(client):
                assert time.monotonic() < until, run("docker", "logs", name).stderr
                time.sleep(0.5)
            yield client
    finally:
        run("docker", "rm", "--force", name)
        run("docker", "volume", "rm", "--force", volume)


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").is_success
    except httpx.TransportError:
        return False


def test_the_training_image_trains(tmp_path: Path) -> None:
    build("train.Dockerfile", TRAIN_IMAGE)
    assert "HAP2S" in run("docker", "run", "--rm", TRAIN_IMAGE).stdout
    write_market(tmp_path / "data", train_identities=24, test_identities=4, views=2)
    (tmp_path / "tiny.toml").write_text(TRAIN)
    (tmp_path / "runs").mkdir()
    tmp_path.chmod(0o755)
    (tmp_path / "runs").chmod(0o777)
    weights = "import torch, torchvision; torch.save(torchvision.models.resnet18().state_dict(), '/runs/weights.pth')"
    mounts = ("--volume", f"{tmp_path}:/in:ro", "--volume", f"{tmp_path / 'runs'}:/runs", "--shm-size", "1g")
    run("docker", "run", "--rm", *mounts, "--entrypoint", "python", TRAIN_IMAGE, "-c", weights)
    trained = run(
        "docker", "run", "--rm", *mounts, TRAIN_IMAGE,
        "train", "--data", "/in/data", "--recipe", "/in/tiny.toml", "--out", "/runs/first",
        "--weights", "/runs/weights.pth", "--json",
    )  # fmt: skip
    assert 0 <= json.loads(trained.stdout)["mAP"] <= 1
    assert list((tmp_path / "runs" / "first").iterdir())
