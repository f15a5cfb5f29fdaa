"""What a soak calls growth, and what it reads to tell. The soak itself is `make soak`."""

import os
import random
from collections.abc import Sequence
from datetime import datetime

import psycopg
import pytest

from tests.soak.flatness import POINTS_MIN, Figure, Point, judged, trend, verdict
from tests.soak.report import as_csv, as_text
from tests.soak.samples import (
    JUDGED_BYTES,
    MEGABYTE,
    Held,
    Samples,
    Space,
    Stored,
    held_by,
    stored_in,
)
from tests.soak.soak import Result
from tests.soak.strikes import spared

MEMORY = 100 * MEGABYTE


def series(values: Sequence[float]) -> list[Point]:
    """Return a value every ten seconds."""
    return [(10.0 * n, value) for n, value in enumerate(values)]


def noise(n: int, around: float, width: float, each: float = 0.0) -> list[Point]:
    """Return values that scatter around one that grows by `each` a sample."""
    rng = random.Random(5)
    return series([around + k * each + rng.uniform(-width, width) for k in range(n)])


# --- growth -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "grows"),
    [
        (noise(60, MEMORY, 0), False),
        (noise(60, MEMORY, 20 * MEGABYTE), False),
        (noise(60, MEMORY, 0, MEGABYTE), True),
        (noise(60, MEMORY, 5 * MEGABYTE, MEGABYTE), True),
        (noise(60, MEMORY, 0, MEGABYTE / 10), False),  # 6 MB in all: less than is allowed
        (noise(60, MEMORY, 0, -MEGABYTE), False),
        # a fourth of all samples fell into a restart
        (series([MEMORY * (10 if n % 4 == 0 else 1) for n in range(60)]), False),
        # a step in the middle is growth only if it goes on
        (series([MEMORY] * 30 + [MEMORY + 6 * MEGABYTE] * 30), False),
        (series([MEMORY + n // 12 * 5 * MEGABYTE for n in range(60)]), True),
    ],
)
def test_a_figure_grows_when_its_slope_is_surely_more_than_is_allowed(
    points: list[Point], grows: bool
) -> None:
    assert verdict(Figure("memory", "B", points, 8 * MEGABYTE)).grows is grows


def test_growth_is_that_of_the_whole_time_and_its_low_end_is_below_it() -> None:
    found = verdict(Figure("memory", "B", noise(60, 1000, 50, 10), 8))

    assert found.growth == pytest.approx(590, rel=0.1)
    assert found.surely < found.growth
    assert found.begin == pytest.approx(1095, rel=0.05)
    assert found.end == pytest.approx(1495, rel=0.05)


def test_the_slope_of_a_line_is_its_own() -> None:
    found = trend(series([3.0 * n for n in range(1000)]))

    assert (found.low, found.slope, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_too_few_samples_tell_nothing() -> None:
    points = series([float(n) for n in range(POINTS_MIN - 1)])

    assert verdict(Figure("memory", "B", points, 0)).grows is None
    assert verdict(Figure("memory", "B", [], 0)).grows is None


def test_the_first_third_is_not_judged() -> None:
    assert judged(series(range(10)), 0, 90) == series(range(10))[3:]


# --- samples ------------------------------------------------------------------------------------


def samples_of(rows: Sequence[int], heap: Sequence[int], indexes: Sequence[int]) -> Samples:
    """Return samples of one table and of a process that was started again after the first ten."""
    samples = Samples()
    for n, (live, size, index) in enumerate(zip(rows, heap, indexes, strict=True)):
        at = 10.0 * n
        pid, more = (1, 50 * MEGABYTE) if n < 10 else (2, 0)
        samples.processes.setdefault("worker-3", []).append((at, Held(pid, MEMORY + more, 9, 4)))
        tables = {
            "public.payments": Space(size, index, live, 180 * live),
            "public.tasks": Space(8192, 0, 1, 100),
        }
        samples.stored.append((at, Stored(20, live, 0, tables)))
        samples.queue_memory.append((at, float(MEGABYTE)))
    return samples


def growing(samples: Samples) -> list[str]:
    figures = samples.figures(["worker-3"], 0, 600)
    return [each.name for each in figures if verdict(each).grows]


def test_tables_that_grow_with_their_rows_are_flat_and_those_that_grow_alone_are_not() -> None:
    rows = [10_000 + 100 * n for n in range(60)]
    with_rows = [200 * live for live in rows]
    alone = [200 * live * (60 + n) // 60 for n, live in enumerate(rows)]

    assert growing(samples_of(rows, with_rows, with_rows)) == []
    assert growing(samples_of(rows, alone, with_rows)) == ["public.payments, dead space a row"]
    assert growing(samples_of(rows, with_rows, alone)) == ["public.payments, its indexes a row"]


def test_small_tables_and_processes_that_are_gone_are_not_judged() -> None:
    rows = [10] * 60
    figures = samples_of(rows, [JUDGED_BYTES - 1] * 60, [0] * 60).figures(["worker-3"], 0, 600)

    assert [each.name for each in figures] == [
        "worker-3 memory", "worker-3 file handles", "worker-3 threads", "database connections",
        "valkey memory",
    ]  # fmt: skip
    assert {value for _, value in figures[0].points} == {MEMORY}, "the process of now alone"


def test_a_process_that_became_another_one_in_the_time_that_is_judged_ended() -> None:
    samples = samples_of([10] * 60, [0] * 60, [0] * 60)

    assert samples.ended("worker-3", 0, 600) == 0, "it became another one before that"
    assert samples.ended("worker-3", 0, 100) == 1
    assert samples.ended("worker-9", 0, 600) == 0


def test_a_process_and_a_database_are_read(db_url: str) -> None:
    held = held_by(os.getpid())
    assert held is not None
    assert (held.memory > MEGABYTE, held.handles > 2, held.threads >= 1) == (True, True, True)
    assert held_by(2**22 + 1) is None

    with psycopg.connect(db_url) as conn:
        conn.execute("INSERT INTO public.test_clock (id, now) VALUES (1, now())")
        conn.commit()
        stored = stored_in(db_url)
    assert stored is not None
    assert (stored.connections >= 1, stored.cycles) == (True, 0)
    clock = stored.tables["public.test_clock"]
    assert (clock.rows, clock.heap, 30 < clock.live < 60) == (1, 8192, True)
    assert "ledger.postings" in stored.tables
    assert stored_in("postgresql://nobody@127.0.0.1:1/none") is None


def test_the_last_process_of_each_role_is_spared() -> None:
    names = ["postgres", "valkey", "sandbox", "worker-1", "worker-2", "api-1", "scheduler-1"]

    assert spared(names) == ["api-1", "scheduler-1", "worker-2"]


# --- the end ------------------------------------------------------------------------------------


def test_a_soak_holds_when_nothing_was_found_and_nothing_grew() -> None:
    flat = verdict(Figure("worker-3 memory", "B", noise(60, MEMORY, 0), 8 * MEGABYTE))
    grown = verdict(Figure("api-1 memory", "B", noise(60, MEMORY, 0, MEGABYTE), 8 * MEGABYTE))
    calm = Result(seconds=600, until=datetime(2026, 3, 1), verdicts=[flat])  # noqa: DTZ001

    assert calm.holds
    assert not Result(verdicts=[flat, grown]).holds
    assert not Result(verdicts=[flat], findings=["a payment was captured twice"]).holds


def test_the_report_names_what_grew_and_what_was_found() -> None:
    grown = verdict(Figure("api-1 memory", "B", noise(60, MEMORY, 0, MEGABYTE), 8 * MEGABYTE))
    text = as_text(
        Result(
            struck={"FLUSHALL": 3, "worker-1": 2},
            verdicts=[grown],
            findings=["a payment was captured twice"],
            not_struck=["postgres"],
        )
    )

    (line,) = [line for line in text.splitlines() if line.startswith("api-1 memory")]
    assert line.endswith("GROWS")
    assert "59.0 MB" in line
    assert "struck    5: FLUSHALL 3, worker-1 2" in text
    assert "never     postgres: the run was too short" in text
    assert "findings  1\n  a payment was captured twice" in text


def test_samples_are_written_as_a_table() -> None:
    flat = verdict(Figure("public.cycles, dead space a row", "B", series([7, 8, 7]), 1))

    assert as_csv(Result(verdicts=[flat])) == (
        "figure,second,value\npublic.cycles dead space a row,0,7\n"
        "public.cycles dead space a row,10,8\npublic.cycles dead space a row,20,7\n"
    )
