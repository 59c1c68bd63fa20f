import pytest

from app.errors import Overloaded
from app.limits import Limits


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(limits: Limits, rate: float, key_id: str = "a") -> int:
    """Take until nothing is left; return how many there were."""
    for count in range(1000):
        try:
            limits.take(key_id, rate)
        except Overloaded:
            return count
    raise AssertionError("there is no limit")


def test_a_second_s_requests_may_come_at_once(clock: Clock) -> None:
    limits = Limits(clock)
    assert taken(limits, 5) == 5
    clock.now += 0.4
    assert taken(limits, 5) == 2
    clock.now += 3600
    assert taken(limits, 5) == 5


def test_a_slow_key_has_one_at_least(clock: Clock) -> None:
    limits = Limits(clock)
    assert taken(limits, 0.1) == 1
    with pytest.raises(Overloaded, match=r"at most 0\.1 requests a second") as caught:
        limits.take("a", 0.1)
    assert caught.value.retry_after == 10
    clock.now += 9.9
    assert taken(limits, 0.1) == 0
    clock.now += 0.2
    assert taken(limits, 0.1) == 1


def test_who_waits_as_told_gets_in(clock: Clock) -> None:
    limits = Limits(clock)
    for rate in (0.3, 1, 7, 123.4):
        taken(limits, rate, f"{rate}")
        with pytest.raises(Overloaded) as caught:
            limits.take(f"{rate}", rate)
        clock.now += caught.value.retry_after
        limits.take(f"{rate}", rate)


def test_over_time_it_is_the_rate(clock: Clock) -> None:
    limits, count = Limits(clock), 0
    for _ in range(10_000):
        clock.now += 0.01
        try:
            limits.take("a", 7)
        except Overloaded:
            continue
        count += 1
    assert abs(count - 7 * 100 - 7) <= 1


def test_keys_have_their_own(clock: Clock) -> None:
    limits = Limits(clock)
    assert taken(limits, 3, "a") == taken(limits, 3, "b") == 3
