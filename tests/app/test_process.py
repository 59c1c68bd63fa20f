import os
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


@pytest.mark.parametrize("name", ["elsewhere/1/1", "", "nothing", f"{socket.gethostname()[:24]}/x/1"])
def test_of_others_nothing_is_known(name: str) -> None:
    assert not is_gone(name)
