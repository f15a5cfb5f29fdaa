"""Each place where a process may die is named once, and no transaction of a flow lacks its name."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing import crash_points
from billing.crash_points import CrashPoint, marked, reached

ROOT = Path(__file__).parents[2]
CODE = [
    file
    for folder in ("billing", "workers", "plans", "migrations")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if file != ROOT / "billing" / "crash_points.py"
]
MARKED_ONES = [
    file
    for folder in ("billing/flows", "workers/daemons", "billing/api", "billing/cli")
    for file in sorted((ROOT / folder).rglob("*.py"))
]
# They write no row; one makes tables, and again if it has to.
READ_ONLY = {
    "billing/flows/subscriptions/reanchoring.py: _chosen",
    "billing/flows/usage/days.py: make_ahead",
}


def test_each_point_is_named_once() -> None:
    named = Counter(
        name for file in CODE for name in re.findall(r"\bCrashPoint\.(\w+)", file.read_text())
    )
    assert named == Counter(point.name for point in CrashPoint)


def test_nothing_that_is_shipped_can_switch_the_points_on() -> None:
    named = re.compile(r"crash_points\b.*_act\b|crash_points\._act|import .*\b_act\b")
    assert [str(file) for file in CODE if named.search(file.read_text())] == []
    source = (ROOT / "billing" / "crash_points.py").read_text()
    assert len(re.findall(r"\b_act\b", source.replace("`_act`", ""))) == 3  # none, asked, called


def test_every_transaction_of_a_flow_ends_at_a_point() -> None:
    bare = {
        f"{file.relative_to(ROOT)}: {function}"
        for file in MARKED_ONES
        for function in _without_a_point(ast.parse(file.read_text()))
    }
    assert bare == READ_ONLY


def _without_a_point(module: ast.Module) -> Iterator[str]:
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        for block in ast.walk(function):
            if isinstance(block, ast.With):
                calls = [ast.unparse(item.context_expr) for item in block.items]
                begins = [n for n, call in enumerate(calls) if call.endswith(".begin()")]
                if begins and not any(call.startswith("marked(") for call in calls[: begins[0]]):
                    yield function.name


def test_a_point_does_nothing() -> None:
    reached(CrashPoint.DISPATCHED)
    with marked(CrashPoint.DISPATCHED):
        pass


def test_a_point_stands_behind_what_it_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(crash_points, "_act", lambda point: happened.append(point))
    with marked(CrashPoint.DISPATCHED):
        happened.append("committed")
    assert happened == ["committed", "dispatched"]


def test_what_fails_reaches_no_point(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(crash_points, "_act", happened.append)
    with pytest.raises(ValueError, match="rolled back"), marked(CrashPoint.DISPATCHED):
        raise ValueError("rolled back")
    assert happened == []
