"""Recognising revenue: what was invoiced is earned as its service is given.

    lock due invoices (SKIP LOCKED)  ->  decide in pure code  ->  write all in a few statements

A batch is one transaction. A row beside the entries keeps how much of an invoice was earned, and up
to when. So a second run, or one after a pause, earns nothing twice and leaves nothing out. An
invoice that is voided or written off earns no more; a refund lowers the amount that is left to
earn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.flows.policy import Policy
from billing.ledger import recipes
from billing.rules.money import Money
from billing.rules.periods import Period
from billing.rules.recognition import RecognitionStep, Service, step
from billing.store.journal import posting
from billing.store.payments import recognition


@dataclass(frozen=True, slots=True)
class Recognised:
    """What one run did: invoices looked at, and how many earned something."""

    seen: int = 0
    earned: int = 0


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
    steps: dict[UUID, RecognitionStep] = {}
    currencies: dict[UUID, str] = {}
    for row in rows:
        standing, currencies[row.id] = standings[row.id], row.currency
        service = Service(Period(row.period_start, row.period_end), row.zone)
        left = standing.left.deferred if row.status.earns else 0
        steps[row.id] = step(left, service, policy.recognise, last=standing.last, now=now)
    earned = _write(conn, steps, currencies)
    return Recognised(seen=len(rows), earned=earned)


def _write(
    conn: Connection, steps: Mapping[UUID, RecognitionStep], currencies: Mapping[UUID, str]
) -> int:
    """Write what was earned, with its entries, and when more is due; return how many earned."""
    rows, entries = [], []
    for invoice_id, done in steps.items():
        if done.through is None:
            continue
        amount = Money(done.amount, currencies[invoice_id])
        rows.append({"invoice_id": invoice_id, "through": done.through, "amount": done.amount})
        entries.append(
            recipes.revenue_recognized(invoice_id=invoice_id, amount=amount, through=done.through)
        )
    recognition.record(conn, rows)
    posting.post(conn, entries)
    recognition.schedule_next(conn, {key: done.next_at for key, done in steps.items()})
    return len(rows)
