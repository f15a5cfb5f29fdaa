"""Checking the promises over all data: every row is read again and none is changed.

    one snapshot  ->  set-based checks in SQL  ->  schedules and digests computed again in Python

Constraints and triggers hold the promises while rows are written. These checks read the result, so
they also find changes that somebody made with constraints and triggers off. `docs/promises.md` says
what each finding means and what to do.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.flows.credit_notes import recomputing as notes
from billing.flows.cycles import digest_repair, recomputing
from billing.flows.cycles.comparing_segments import KnownSegments
from billing.flows.cycles.digest import cycle_digests
from billing.ledger.findings import LedgerFinding, Severity
from billing.rules.item_changes import ItemChange
from billing.rules.promises import DIFFERENCES, Finding, FindingKind
from billing.rules.rule_changes import compared
from billing.rules.segments import Timetable
from billing.rules.subscriptions import CycleKind
from billing.store.findings import SHOWN_MAX
from billing.store.journal import checks
from billing.store.promises import (
    closed_agrees,
    counted,
    credit,
    discounted,
    every_penny,
    invoiced,
    metered,
    noted,
    nothing_abandoned,
    one_capture,
    one_cycle,
    references,
    running,
    taxed,
)
from billing.store.promises.one_cycle import Scheduled
from billing.store.subscriptions import item_changes
from billing.store.transactions import snapshot

TITLES: Final[Mapping[int, str]] = {
    1: "Every period of every subscription has exactly one cycle",
    2: "A cycle captures at most one payment",
    3: "Every penny is in the journal, which sums to zero",
    4: "A cycle is closed only when our books, the invoice and the provider agree",
    5: "Nothing is abandoned silently",
    7: "Every amount of an invoice follows from the facts that are stored with it",
    8: "No credit is used twice, and the journal has all of it",
    9: "What was credited was charged",
    10: "No event of usage counts twice, and none is left uncounted",
}

# Workers do due work within seconds; work that has been due for longer than this is a finding.
GRACE: Final = timedelta(hours=1)
RECONCILE_GRACE: Final = timedelta(days=1)

_ROWS_A_FETCH: Final = 5_000

Changes = Mapping[UUID, Sequence[ItemChange]]
"""All changes of what is held, by subscription."""


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """How many rows were checked for one promise, and what was found.

    Without `findings` it `holds`. `differences` break no promise: the provider did something else
    after both sides had agreed, and a person has to look.
    """

    promise: int
    title: str
    checked: Mapping[str, int]
    findings: Sequence[Finding | LedgerFinding]
    differences: Sequence[Finding] = ()

    @property
    def holds(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings

    @property
    def by_kind(self) -> Mapping[str, int]:
        """The number of findings of each kind, those included that aren't kept one by one."""
        counts: Counter[str] = Counter()
        for each in (*self.findings, *self.differences):
            counts[str(each.kind if isinstance(each, Finding) else each.check)] += each.more or 1
        return counts


def prove(
    engine: Engine,
    now: datetime | None = None,
    *,
    grace: timedelta = GRACE,
    reconcile_grace: timedelta = RECONCILE_GRACE,
) -> list[PromiseResult]:
    """Check promises 1 to 5 and 7 to 10 over all rows in one snapshot, and change nothing.

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
    changes = item_changes.of_all(conn)
    return [
        _one_cycle_a_period(conn, now, grace, changes),
        _result(conn, 2, running.findings(conn, one_capture.CAPTURED_ONCE)),
        _every_penny(conn),
        _closed_agrees(conn),
        _nothing_abandoned(conn, now, grace, reconcile_grace),
        _follows_from_facts(conn, changes),
        _credit(conn, now, reconcile_grace),
        _credited_was_charged(conn),
        _counted_once(conn),
    ]


def prove_counted_once(engine: Engine) -> PromiseResult:
    """Check promise 10 alone, over all rows in one snapshot."""
    with snapshot(engine) as conn:
        return _counted_once(conn)


def _result(
    conn: Connection, promise: int, findings: Sequence[Finding | LedgerFinding], **more: int
) -> PromiseResult:
    checked = {**running.counts(conn, promise), **more}
    later = tuple(
        each for each in findings if isinstance(each, Finding) and each.kind in DIFFERENCES
    )
    broken = tuple(each for each in findings if each not in later)
    return PromiseResult(promise, TITLES[promise], checked, broken, later)


def _counted_once(conn: Connection) -> PromiseResult:
    return _result(conn, 10, running.findings(conn, counted.COUNTED_ONCE))


@dataclass(slots=True)
class _Found:
    """Collects findings: keeps the first few and counts the others, as more of `kind`."""

    kind: FindingKind
    shown: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, finding: Finding) -> None:
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(finding)
        else:
            self.more += 1

    def all(self) -> list[Finding]:
        return [*self.shown, *([Finding(self.kind, more=self.more)] if self.more else [])]


# --- promise 1 ----------------------------------------------------------------------------------


def _one_cycle_a_period(
    conn: Connection, now: datetime | None, grace: timedelta, changes: Changes
) -> PromiseResult:
    found, known = _Found(FindingKind.CYCLE_OFF_SCHEDULE), KnownSegments(conn, changes)
    for scheduled in one_cycle.schedules_with_cycles(conn, _ROWS_A_FETCH):
        for finding in _differences_from_schedule(scheduled, known):
            found.add(finding)
    others = running.findings(conn, (one_cycle.AGAINST_CHANGES, one_cycle.CUT_AGAINST_CHANGE))
    if now is not None:
        due = (one_cycle.RENEWAL_OVERDUE,)
        others += running.findings(conn, due, {"overdue": now - grace})
    return _result(conn, 1, [*found.all(), *others])


def _differences_from_schedule(scheduled: Scheduled, known: KnownSegments) -> Iterator[Finding]:
    """Compare a subscription's cycles, in order, with the periods of its segments."""
    subscription = {"subscription": scheduled.id}
    try:
        yield from known.differences(scheduled)
        yield from _cycles_off_schedule(scheduled, known.timetable(scheduled))
        due = scheduled.segment.nth(scheduled.next_n).period.start
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        facts = {**subscription, "error": str(error)}
        yield Finding(FindingKind.SCHEDULE_UNUSABLE, facts)
        return
    if scheduled.renews_at not in (None, due, scheduled.anchored_from):
        facts = {"renews_at": scheduled.renews_at, "next_n": scheduled.next_n, "due": due}
        yield Finding(FindingKind.RENEWAL_OFF_SCHEDULE, subscription | facts)


def _cycles_off_schedule(scheduled: Scheduled, timetable: Timetable) -> Iterator[Finding]:
    subscription = {"subscription": scheduled.id}
    numbers = [cycle.n for cycle in scheduled.cycles]
    if numbers != list(range(scheduled.next_n)):
        missing = sorted(set(range(scheduled.next_n)) - set(numbers))
        counted = {
            "next_n": scheduled.next_n,
            "cycles": len(numbers),
            "missing": missing[0] if missing else None,
        }
        yield Finding(FindingKind.CYCLES_MISSING, subscription | counted)
    kinds = {cycle.n: cycle.kind for cycle in scheduled.cycles}
    opened = ((cycle.n, cycle.period_start, cycle.period_end) for cycle in scheduled.cycles)
    for each in compared(timetable, opened, scheduled.anchored_from):
        period, named = each.due.period, {**subscription, "n": each.n}
        if each.differs:
            periods = {
                "starts": each.opened.start,
                "ends": each.opened.end,
                "due_start": period.start,
                "due_end": period.end,
            }
            yield Finding(FindingKind.CYCLE_OFF_SCHEDULE, named | periods)
        unbilled = (CycleKind.PAUSED, CycleKind.SKIPPED)
        free = (CycleKind.FREE,) if each.due.kind == "regular" else ()
        if kinds[each.n] not in (each.due.kind, *unbilled, *free):
            other = {"kind": kinds[each.n], "due_kind": each.due.kind}
            yield Finding(FindingKind.CYCLE_OF_OTHER_KIND, named | other)


# --- promises 3, 4 and 5 ------------------------------------------------------------------------


def _every_penny(conn: Connection) -> PromiseResult:
    ledger = [found for found in checks.verify(conn) if found.severity is Severity.ERROR]
    penny = running.findings(conn, every_penny.EVERY_PENNY)
    return _result(conn, 3, [*ledger, *penny, *references.dangling(conn)])


def _closed_agrees(conn: Connection) -> PromiseResult:
    found = _Found(FindingKind.DIGEST_DIFFERS)
    for cycle in digest_repair.differing(conn):
        facts = {
            "subscription": cycle.subscription_id,
            "n": cycle.n,
            "digest": cycle_digests(conn, [cycle.id])[cycle.id],
            "closed_with": cycle.digest,
        }
        found.add(Finding(FindingKind.DIGEST_DIFFERS, facts))
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


# --- promise 7 ----------------------------------------------------------------------------------


def _follows_from_facts(conn: Connection, changes: Changes) -> PromiseResult:
    found = _Found(FindingKind.INVOICE_AGAINST_FACTS)
    for finding in recomputing.differing(conn, changes):
        found.add(finding)
    others = running.findings(
        conn,
        (
            invoiced.ITEM_AGAINST_INVOICE,
            *discounted.DISCOUNTS,
            *metered.METERED,
            *taxed.TAXED,
        ),
    )
    return _result(conn, 7, [*found.all(), *others])


# --- promise 8 ----------------------------------------------------------------------------------


def _credit(conn: Connection, now: datetime | None, reconcile_grace: timedelta) -> PromiseResult:
    findings = running.findings(conn, credit.CREDIT_ADDS_UP)
    if now is not None:
        times = {"unreconciled": now - reconcile_grace}
        findings += running.findings(conn, credit.OVERDUE, times)
    return _result(conn, 8, findings)


# --- promise 9 ----------------------------------------------------------------------------------


def _credited_was_charged(conn: Connection) -> PromiseResult:
    found = _Found(FindingKind.NOTE_AGAINST_FACTS)
    for finding in notes.differing(conn):
        found.add(finding)
    return _result(conn, 9, [*running.findings(conn, noted.NOTED), *found.all()])
