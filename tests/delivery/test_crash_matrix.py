"""A process is killed at each point of each flow; what follows is as docs/crash-matrix.md says.

A run takes a share of the worlds that flows share; of those, every flow and every point.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from billing.crash_points import CrashPoint
from billing.sandbox import SandboxServer
from billing.store.engine import make_engine
from tests.delivery import forking
from tests.delivery.crash import all_flows, page, rows  # noqa: F401  flows register
from tests.delivery.crash.flow import FLOWS, groups
from tests.delivery.crash.killing import REPORTS, Place, places
from tests.delivery.crash.processes import bare_gaps
from tests.delivery.engine_under_test import foreign
from tests.shares import WHOLE, share

WRITES: Final = "CRASH_MATRIX"
"""Set to `write`, the sections of the page are written and not compared: `make crashes`."""

SHARES: Final = 4


def killed(
    group: str, folder: Path, database: str, provider: str, queue: str
) -> list[dict[str, Any]]:
    """Return the reports of the flows of a group."""
    env = foreign() | {
        "CRASH_DATABASE": database, "CRASH_PROVIDER": provider, "CRASH_REDIS": queue,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.delivery.crash.killing", group]
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    ended = forking.start(command, env, folder, output).wait()
    os.close(output)
    assert ended == 0, (folder / "output").read_text()[-4000:]
    reports: list[dict[str, Any]] = json.loads((folder / REPORTS).read_text())
    return reports


@pytest.mark.slow
@pytest.mark.skipif(not forking.AVAILABLE, reason="roles are forked on Linux only")
@pytest.mark.parametrize("group", share(list(groups()), SHARES))
def test_whoever_dies_what_follows_adds_up_and_is_as_the_page_says(
    group: str, tmp_path: Path, prepared_url: str, sandbox: SandboxServer, redis_url: str
) -> None:
    reports = killed(group, tmp_path, prepared_url, sandbox.url, redis_url)
    assert {each["flow"]: each["wrong"] for each in reports if each["wrong"]} == {}
    for each in reports:
        if os.environ.get(WRITES) == "write":
            assert WHOLE, "the page is written from all flows"
            page.put(each, iter(FLOWS))
        assert page.section(each) == page.shown(each["flow"]), "`make crashes` writes the page"


@pytest.mark.skipif(os.environ.get(WRITES) == "write", reason="it is being written")
def test_the_page_has_a_section_for_each_flow_and_a_row_for_each_point() -> None:
    shown = page.sections(page.PAGE.read_text())
    assert list(shown) == page.titles(iter(FLOWS))
    cells = {
        line.split(" | ")[0].removeprefix("| ").partition(" (")[0]
        for section in shown.values()
        for line in section.splitlines()[6:]
    }
    assert cells == {point.value for point in CrashPoint}
    assert page.PAGE.read_text().startswith(page.INTRODUCTION)


def test_every_table_is_told_or_left_out_for_a_reason(prepared_url: str) -> None:
    engine = make_engine(prepared_url)
    assert set(rows.tables(engine)) == set(rows.WORDS) | rows.UNTOLD
    engine.dispose()


def test_two_durable_effects_of_one_thread_need_a_point_between_them() -> None:
    trace = [
        ("1", "commit", "a.py:1"), ("2", "commit", "b.py:2"), ("1", "point", "DISPATCHED"),
        ("1", "message", "c.py:3"),
    ]  # fmt: skip
    assert bare_gaps(trace) == []
    assert bare_gaps([*trace, ("1", "commit", "d.py:4")]) == [
        "no point between message at c.py:3 and commit at d.py:4"
    ]


def test_a_process_is_killed_at_each_point_once_and_again_behind_something_durable() -> None:
    opened, sent = CrashPoint.CYCLES_OPENED, CrashPoint.DISPATCHED
    point = ("1", "point", opened.name)
    other = ("1", "point", sent.name)
    commit = ("1", "commit", "a.py:1")

    assert places([point, other, point]) == [Place(opened, 1, 1), Place(sent, 1, 1)]
    assert places([point, other, commit, point]) == [
        Place(opened, 1, 1), Place(sent, 1, 1), Place(opened, 2, 2),
    ]  # fmt: skip
    assert places([commit, point, commit, point, commit, point]) == [
        Place(opened, 1, 1), Place(opened, 2, 2),
    ]  # fmt: skip
