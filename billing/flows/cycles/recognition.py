"""Recognising revenue: what was invoiced is earned as its service is given, line by line.

    lock due invoices (SKIP LOCKED)  ->  decide in pure code  ->  write all in a few statements

A batch is one transaction. A row beside the entries keeps how much of a line was earned, and up to
when. So a second run, or one after a pause, earns nothing twice and leaves nothing out. What lines
of an invoice earn up to the same instant is one entry. An invoice that is voided or written off
earns no more; a refund lowers the amount that is left to earn.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.flows.policy import Policy
from billing.ledger import recipes
from billing.rules.money import Money
from billing.rules.recognition import placed, service_of, step
from billing.store.journal import posting
from billing.store.payments import recognition
from billing.store.payments.recognition import DueInvoice, Standing


@dataclass(frozen=True, slots=True)
class Recognised:
    """What one run did: invoices looked at, and how many earned something."""

    seen: int = 0
    earned: int = 0


@dataclass(frozen=True, slots=True)
class Earned:
    """What a line of an invoice earns up to an instant, in minor units."""

    line: int
    through: datetime
    amount: int


def run(engine: Engine, *, now: datetime, batch: int, policy: Policy) -> Recognised:
    """Earn everything that is due by `now`, `batch` invoices a transaction."""
    seen = earned = 0
    while True:
        with marked(CrashPoint.REVENUE_RECOGNISED), engine.begin() as conn:
            done = run_batch(conn, now, batch, policy)
        seen += done.seen
        earned += done.earned
        if done.seen < batch:
            return Recognised(seen, earned)


def run_batch(conn: Connection, now: datetime, limit: int, policy: Policy) -> Recognised:
    """Earn what is due of up to `limit` invoices, earliest first."""
    rows = recognition.lock_due(conn, now, limit)
    if not rows:
        return Recognised()
    # A second statement, so that it sees refunds committed while the first one waited for its
    # locks.
    standings = recognition.standings(conn, [row.id for row in rows])
    earned: dict[UUID, list[Earned]] = {}
    next_at: dict[UUID, datetime | None] = {}
    currencies = {row.id: row.currency for row in rows}
    for row in rows:
        earned[row.id], next_at[row.id] = _of_invoice(row, standings[row.id], policy, now)
    write(conn, earned, currencies)
    recognition.schedule_next(conn, next_at)
    return Recognised(seen=len(rows), earned=sum(1 for steps in earned.values() if steps))


def _of_invoice(
    row: DueInvoice, standing: Standing, policy: Policy, now: datetime
) -> tuple[list[Earned], datetime | None]:
    """Return what the lines of an invoice earn now, and when one of them may earn more."""
    if not row.status.earns:
        return [], None
    last, found, next_at = standing.last, [], []
    for line in standing.lines:
        service = service_of(line.period, row.issued_at, row.zone)
        done = step(line.left.deferred, service, policy.recognise, last=line.last, now=now)
        if done.through is not None:
            through = placed(done, last_of_invoice=last, now=now)
            found.append(Earned(line.line, through, done.amount))
        if done.next_at is not None:
            next_at.append(done.next_at)
    return found, min(next_at, default=None)


def write(
    conn: Connection, earned: Mapping[UUID, Sequence[Earned]], currencies: Mapping[UUID, str]
) -> None:
    """Write what lines of (locked) invoices earned, with an entry for each instant."""
    rows: list[dict[str, Any]] = []
    sums: dict[tuple[UUID, datetime], int] = defaultdict(int)
    for invoice_id, steps in earned.items():
        for each in steps:
            row = {"line": each.line, "through": each.through, "amount": each.amount}
            rows.append({"invoice_id": invoice_id, **row})
            sums[invoice_id, each.through] += each.amount
    recognition.record(conn, rows)
    entries = [
        recipes.revenue_recognized(
            invoice_id=invoice_id, amount=Money(amount, currencies[invoice_id]), through=through
        )
        for (invoice_id, through), amount in sums.items()
    ]
    posting.post(conn, entries)
