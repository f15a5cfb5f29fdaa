"""The schedule by itself, with actors that only note their steps."""

import threading
from collections.abc import Callable

from tests.simulation.schedule import Actor, At, Chances, Schedule
from tests.simulation.shrink import fewer


def interleaved(seed: int, chances: Chances) -> tuple[list[str], list[Actor]]:
    """Let three actors take five steps each; return who took which."""
    schedule, steps = Schedule(seed), list[str]()
    schedule.chances = chances
    actors = [schedule.add(name) for name in "abc"]

    def job(name: str) -> Callable[[], None]:
        def work() -> None:
            for n in range(5):
                if schedule.reach("a step", ("a fault",)) is not None:
                    steps.append(f"{name} fails")
                steps.append(f"{name}{n}")

        return work

    for actor in actors:
        schedule.start(actor, job(actor.name))
    while paused := schedule.those(At.PAUSED):
        schedule.resume(paused[len(steps) % len(paused)])
    schedule.close()
    return steps, actors


def test_one_seed_is_one_order() -> None:
    chances = Chances(switch=0.5, death=0.05, faults={"a fault": 0.1})
    assert interleaved(1, chances)[0] == interleaved(1, chances)[0]
    assert interleaved(1, chances)[0] != interleaved(2, chances)[0]


def test_without_chances_everybody_works_to_the_end() -> None:
    steps, actors = interleaved(1, Chances())
    assert steps == [f"{name}{n}" for name in "abc" for n in range(5)]
    assert [actor.failed for actor in actors] == [None] * 3


def test_who_dies_does_nothing_more() -> None:
    steps, actors = interleaved(3, Chances(death=1.0))
    assert steps == []
    assert {actor.at for actor in actors} == {At.DEAD}


def test_an_error_is_kept_for_the_story() -> None:
    schedule = Schedule(1)
    actor = schedule.add("a")

    def fail() -> None:
        raise ValueError("wrong")

    schedule.start(actor, fail)
    assert actor.at is At.IDLE
    assert str(actor.failed) == "wrong"
    schedule.close()


def test_what_a_failure_needs_is_left() -> None:
    wanted = {3, 41, 77}
    assert fewer(range(100), lambda left: wanted <= set(left)) == sorted(wanted)
    assert fewer(range(100), lambda _: True) == ()


def test_who_waited_for_a_lock_in_vain_ends_in_its_own_turn() -> None:
    """Until then nobody else runs beside it."""
    lock, waits, ended = threading.Lock(), threading.Event(), list[str]()
    schedule = Schedule(1, blocked=lambda _: {2} if waits.is_set() and lock.locked() else set())
    holder, waiter = (schedule.add(name) for name in ("holder", "waiter"))

    def hold() -> None:
        lock.acquire()
        schedule.chances = Chances(switch=1.0)
        schedule.reach("before commit", locks=True)
        schedule.chances = Chances()
        lock.release()
        schedule.waited()

    def wait() -> None:
        schedule.statement(2)
        waits.set()
        try:
            with lock:
                raise ValueError("wrong")
        finally:
            schedule.waited()
            ended.append("waiter")

    schedule.start(holder, hold)
    schedule.start(waiter, wait)
    assert schedule.those(At.WAITING) == [waiter]
    schedule.resume(holder)
    assert schedule.those(At.PAUSED) == [waiter]
    assert not ended
    schedule.resume(waiter)
    assert (schedule.those(At.IDLE), ended) == ([holder, waiter], ["waiter"])
    schedule.close()
