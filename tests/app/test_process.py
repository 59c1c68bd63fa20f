import os
import shutil
import socket
import subprocess
import sys

import pytest

from app.process import is_gone, own_name


def test_this_process_is_not_gone() -> None:
    assert str(os.getpid()) in own_name()
    assert len(own_name()) <= 64
    assert not is_gone(own_name())


def test_one_that_ended_is_gone() -> None:
    program = "from app.process import own_name; print(own_name())"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert is_gone(ran.stdout.strip())


def test_another_one_with_the_same_number_is_not_the_same() -> None:
    host, number, started = own_name().rsplit("/", 2)
    assert is_gone(f"{host}/{number}/{int(started) - 1}")


def test_of_a_host_whose_name_only_ends_otherwise_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "reid-deployment-7d9f8b6c5d-x2v4q")
    host, number, started = own_name().rsplit("/", 2)
    before = f"{host}/{number}/{int(started) - 1}"
    assert is_gone(before)
    monkeypatch.setattr(socket, "gethostname", lambda: "reid-deployment-7d9f8b6c5d-9kp7c")
    assert not is_gone(before)


def test_of_another_container_on_the_hosts_network_nothing_is_known() -> None:
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which(apart[0]) is None or subprocess.run([*apart, "true"], capture_output=True).returncode != 0:
        pytest.skip("no process can be put into a namespace of its own here")
    program = "import sys; from app.process import is_gone, own_name; print(own_name(), *map(is_gone, sys.argv[1:]))"

    def inside(*names: str) -> list[str]:
        command = [*apart, sys.executable, "-c", program, *names]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    [name] = inside()
    assert name.split("/")[1] == "1"
    assert inside(name)[1] == "False"


@pytest.mark.parametrize("name", ["elsewhere/1/1", "", "nothing", f"{socket.gethostname()[:24]}/x/1"])
def test_of_others_nothing_is_known(name: str) -> None:
    assert not is_gone(name)
