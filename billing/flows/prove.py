"""Checking the promises over all data: every row is read again and none is changed.

    one snapshot  ->  set-based checks in SQL  ->  schedules and digests computed again in Python

Constraints and triggers hold the promises while rows are written. These checks read the result, so
they also find changes that somebody made with constraints and triggers off. `docs/promises.md` says
what each finding means and what to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from billing.flows.cycles.digest import cycle_digests
from billing.rules.periods import Anchor, Schedule, nth
from billing.store.journal import posting
from billing.store.promises import (
    closed_agrees,
    every_penny,
    nothing_abandoned,
    one_capture,
    one_cycle,
    running,
)
from billing.store.promises.check import SHOWN_MAX
from billing.store.transactions import snapshot
from plans.terms import Cadence

TITLES: Final[Mapping[int, str]] = {
    1: "Every period of every subscription has exactly one cycle",
    2: "A cycle captures at most one payment",
    3: "Every penny is in the journal, which sums to zero",
    4: "A cycle is closed only when our books, the invoice and the provider agree",
    5: "Nothing is abandoned silently",
}

# Workers do due work within seconds; work that has been due for longer than this is a finding.
GRACE: Final = timedelta(hours=1)
RECONCILE_GRACE: Final = timedelta(days=1)

_ROWS_A_FETCH: Final = 5_000
_DIGESTS_A_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """How many rows were checked for one promise, and its findings; without any it `holds`."""

    promise: int
    title: str
    checked: Mapping[str, int]
    findings: Sequence[str]

    @property
    def holds(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings


def prove(
    engine: Engine,
    now: datetime | None = None,
    *,
    grace: timedelta = GRACE,
    reconcile_grace: timedelta = RECONCILE_GRACE,
) -> list[PromiseResult]:
    """Check promises 1 to 5 over all rows in one snapshot, and change nothing.

    `now` is domain time: renewals and attempts due longer than `grace`, and captures that wait for
    reconciliation longer than `reconcile_grace`, are findings; without `now` those checks are left
    out. Takes a few minutes for a million cycles and blocks no writer.
    """
    with snapshot(engine) as conn:
        return examine(conn, now, grace=grace, reconcile_grace=reconcile_grace)


def examine(
    conn: Connection,
    now: datetime | None = None,
    *,
    grace: timedelta = GRACE,
    reconcile_grace: timedelta = RECONCILE_GRACE,
) -> list[PromiseResult]:
    """Check the promises in the caller's transaction; see `prove`."""
    return [
        _one_cycle_a_period(conn, now, grace),
        _result(conn, 2, running.findings(conn, one_capture.CAPTURED_ONCE)),
        _every_penny(conn),
        _closed_agrees(conn),
        _nothing_abandoned(conn, now, grace, reconcile_grace),
    ]


def _result(conn: Connection, promise: int, findings: Sequence[str], **more: int) -> PromiseResult:
    checked = {**running.counts(conn, promise), **more}
    return PromiseResult(promise, TITLES[promise], checked, tuple(findings))


@dataclass(slots=True)
class _Found:
    """Collects findings: counts all, keeps the first few to be shown."""

    kind: str
    words: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, words: str) -> None:
        if len(self.words) < SHOWN_MAX:
            self.words.append(words)
        else:
            self.more += 1

    def all(self) -> list[str]:
        rest = [f"and {self.more:,} more {self.kind}"] if self.more else []
        return [*self.words, *rest]


# --- promise 1 ----------------------------------------------------------------------------------


def _one_cycle_a_period(conn: Connection, now: datetime | None, grace: timedelta) -> PromiseResult:
    found = _Found("cycles that aren't where their schedule puts them")
    for rows in one_cycle.schedules_with_cycles(conn, _ROWS_A_FETCH):
        for words in _differences_from_schedule(rows):
            found.add(words)
    overdue = []
    if now is not None:
        due = (one_cycle.RENEWAL_OVERDUE,)
        overdue = running.findings(conn, due, {"overdue": now - grace})
    return _result(conn, 1, [*found.all(), *overdue])


def _differences_from_schedule(rows: Sequence[Row[Any]]) -> Iterator[str]:
    """Compare a subscription's cycles, in order, with the periods of its anchor and cadence."""
    head = rows[0]
    subscription = f"subscription {head.id}"
    try:
        schedule = Schedule(
            anchor=Anchor(head.anchor_local, head.zone),
            cadence=Cadence.parse(head.every),
            trial=Cadence.parse(head.trial) if head.trial else None,
            anchor_day=head.anchor_day,
        )
        yield from _cycles_off_schedule(subscription, schedule, rows)
        due = nth(schedule, head.next_n).period.start
    except ValueError as error:
        yield f"{subscription}: its schedule can't be computed: {error}"
        return
    if head.renews_at not in (None, due):
        yield (
            f"{subscription} renews at {head.renews_at}, but cycle {head.next_n} starts at {due}"
        )


def _cycles_off_schedule(
    subscription: str, schedule: Schedule, rows: Sequence[Row[Any]]
) -> Iterator[str]:
    cycles = [row for row in rows if row.n is not None]
    numbers = [row.n for row in cycles]
    next_n = rows[0].next_n
    if numbers != list(range(next_n)):
        missing = sorted(set(range(next_n)) - set(numbers))
        yield (
            f"{subscription}: the next cycle is number {next_n}, but it has {len(numbers)} cycles"
            + (f", without number {missing[0]}" if missing else "")
        )
    for row in cycles:
        expected = nth(schedule, row.n)
        period = expected.period
        if (row.period_start, row.period_end) != (period.start, period.end):
            yield (
                f"{subscription}: cycle {row.n} runs from {row.period_start} to {row.period_end},"
                f" its schedule says {period.start} to {period.end}"
            )
        if row.kind not in (expected.kind, "paused", "skipped"):
            yield f"{subscription}: cycle {row.n} is {row.kind}, its schedule says {expected.kind}"


# --- promises 3, 4 and 5 ------------------------------------------------------------------------


def _every_penny(conn: Connection) -> PromiseResult:
    ledger = [
        f"ledger, {finding.check}: {finding.subject}: {finding.what}"
        for finding in posting.verify(conn)
        if finding.severity is posting.Severity.ERROR
    ]
    return _result(conn, 3, [*ledger, *running.findings(conn, every_penny.EVERY_PENNY)])


def _closed_agrees(conn: Connection) -> PromiseResult:
    found = _Found("cycles whose digest differs")
    for rows in closed_agrees.closed_cycles(conn, _DIGESTS_A_BATCH):
        digests = cycle_digests(conn, [row.id for row in rows])
        for row in rows:
            if digests[row.id] != row.digest:
                found.add(
                    f"cycle {row.n} of subscription {row.subscription_id} is not what it was when"
                    f" it was closed: digest {digests[row.id][:12]}, closed with {row.digest[:12]}"
                )
    agreed = running.findings(conn, closed_agrees.CLOSED_AGREES)
    return _result(conn, 4, [*agreed, *found.all()], **closed_agrees.open_breaks(conn))


def _nothing_abandoned(
    conn: Connection, now: datetime | None, grace: timedelta, reconcile_grace: timedelta
) -> PromiseResult:
    findings = running.findings(conn, nothing_abandoned.NOTHING_ABANDONED)
    if now is not None:
        times = {"overdue": now - grace, "unreconciled": now - reconcile_grace}
        findings += running.findings(conn, nothing_abandoned.OVERDUE, times)
    return _result(conn, 5, findings)
