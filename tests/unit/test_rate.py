"""The token bucket, on a clock that moves only when somebody sleeps."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from billing.gateway.rate import SLOWEST_SHARE, TokenBucket


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket_of(clock: Clock) -> Callable[..., TokenBucket]:
    def make(rate: float, burst: int = 1) -> TokenBucket:
        return TokenBucket(rate, burst, clock=clock, sleep=clock.sleep)

    return make


def test_requests_leave_at_the_rate(clock: Clock, bucket_of: Callable[..., TokenBucket]) -> None:
    bucket = bucket_of(25)
    start = clock.now

    for _ in range(251):
        assert bucket.acquire()

    assert clock.now - start == pytest.approx(10)


def test_a_burst_is_what_a_quiet_while_saved(
    clock: Clock, bucket_of: Callable[..., TokenBucket]
) -> None:
    bucket = bucket_of(10, 5)
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
    assert bucket.take() == pytest.approx(0.1)

    clock.now += 3600

    assert [bucket.take() for _ in range(5)] == [0.0] * 5
    assert bucket.take() > 0


def test_who_can_not_wait_that_long_gives_up_at_once(
    clock: Clock, bucket_of: Callable[..., TokenBucket]
) -> None:
    bucket = bucket_of(0.1)
    assert bucket.acquire(timeout=0)
    before = clock.now

    assert not bucket.acquire(timeout=5)

    assert clock.now == before
    assert bucket.acquire(timeout=11)


def test_a_429_halves_the_rate_and_it_climbs_back(
    clock: Clock, bucket_of: Callable[..., TokenBucket]
) -> None:
    bucket = bucket_of(100, 10)

    bucket.slow_down()

    assert bucket.rate == 50
    assert bucket.take() > 0  # what the burst had saved is gone
    clock.now += 5
    assert bucket.rate == pytest.approx(75)
    clock.now += 60
    assert bucket.rate == 100


def test_retry_after_is_a_pause_in_which_nothing_is_saved_up(
    clock: Clock, bucket_of: Callable[..., TokenBucket]
) -> None:
    bucket = bucket_of(100, 10)

    bucket.slow_down(timedelta(seconds=30))

    assert bucket.take() == pytest.approx(30)
    assert not bucket.acquire(timeout=5)
    clock.now += 30
    assert bucket.take() == pytest.approx(0.02)
    assert bucket.rate == 50


def test_429s_of_one_moment_count_once(clock: Clock, bucket_of: Callable[..., TokenBucket]) -> None:
    bucket = bucket_of(100)

    for _ in range(8):
        bucket.slow_down()

    assert bucket.rate == 50


def test_the_rate_never_reaches_zero(clock: Clock, bucket_of: Callable[..., TokenBucket]) -> None:
    bucket = bucket_of(100)

    for _ in range(50):
        bucket.slow_down()
        clock.now += 1

    assert bucket.rate >= 100 * SLOWEST_SHARE
    assert bucket.acquire(timeout=1)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (5.0, 0)])
def test_a_bucket_that_lets_nothing_through_can_not_be_made(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        TokenBucket(rate, burst)
