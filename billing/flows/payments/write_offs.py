"""Writing off, voiding and reopening a payment's debt, inside the caller's transaction.

Payment, invoice, journal and subscription change together. Locks are taken in one order everywhere:
payments first, then their subscription.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import crediting, tax_records
from billing.flows.cycles import recognition as earning
from billing.flows.cycles.recognition import Earned
from billing.flows.payments.subscription_status import end_subscription
from billing.flows.policy import Policy
from billing.ledger import keys, recipes
from billing.pricing import InvoiceKind
from billing.rules.actor import WORKER, Actor
from billing.rules.decisions import Decision, DecisionKind, decided, evidence_of
from billing.rules.invoices import InvoiceStatus
from billing.rules.line_parts import LineSplit, split_by_line
from billing.rules.money import Money
from billing.rules.payments import (
    Cause,
    State,
)
from billing.rules.recognition import TICK
from billing.store.journal import posting
from billing.store.payments import invoices, line_parts, payment_history, payments, recognition
from billing.store.payments.line_parts import PartsOf
from billing.store.payments.payments import LockedPayment
from billing.store.payments.recognition import Standing
from billing.store.subscriptions.parking import NOT_PARKED


def give_up(
    conn: Connection, payment: LockedPayment, *, now: datetime, decision: Decision, policy: Policy
) -> None:
    """Give a payment up: payment FAILED, invoice written off, subscription canceled or unpaid."""
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.FAILED],
        cause=Cause.OUTCOME if payment.invoice_id is None else Cause.LADDER_OVER,
        now=now,
        actor=WORKER,
        evidence=evidence_of(decision),
        **payments.NOTHING_NEXT,
        decision=decision,
    )
    if payment.invoice_id is not None:
        write_off(conn, payment, now)
    if payment.subscription_id is not None:
        end_subscription(conn, payment, decision, now, policy)


def end_last_attempt(
    conn: Connection, payment: LockedPayment, *, now: datetime, decision: Decision, policy: Policy
) -> None:
    """End a payment that came to nothing after its subscription had ended: void its invoice, as all
    were that were open at that end.

    What was used until then is owed. So is what was given up before and tried again by hand: both
    are written off.
    """
    owed = payment.invoice_kind is InvoiceKind.FINAL
    if owed or payment_history.times_failed(conn, payment.id):
        give_up(conn, payment, now=now, decision=decision, policy=policy)
        return
    why = "the subscription ended"
    void(conn, payment, now=now, actor=WORKER, why=why, subscription_canceled=True)


def write_off(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Write off an invoice that will not be collected: what was earned of it becomes bad debt."""
    invoice_id = _owed(payment)
    # Locks the row, so that nothing more is earned meanwhile.
    invoices.move(conn, invoice_id, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE, now)
    if payment.invoice_kind is InvoiceKind.TOP_UP:
        entry = recipes.top_up_written_off(
            invoice_id=invoice_id,
            customer_id=payment.customer_id,
            total=payment.money,
            effective_at=now,
            nth=payment_history.times_failed(conn, payment.id),
        )
        posting.post(conn, [entry])
        return
    standing = recognition.standings(conn, [invoice_id])[invoice_id]
    lost = split_by_line(payment.amount, standing.by_line)
    parts, nth = lost.parts, payment_history.times_failed(conn, payment.id)
    line_parts.add(conn, PartsOf.WRITE_OFF, invoice_id, invoice_id, lost.lines, nth=nth)
    posting.post(
        conn,
        [
            recipes.write_off(
                invoice_id=invoice_id,
                customer_id=payment.customer_id,
                cycle_id=payment.cycle_id,
                recognised=Money(parts.recognised, payment.currency),
                deferred=Money(parts.deferred, payment.currency),
                tax=Money(parts.tax, payment.currency),
                effective_at=now,
                nth=nth,
            )
        ],
    )
    _earn_what_credit_paid(conn, payment, standing, lost, now)


def _earn_what_credit_paid(
    conn: Connection, payment: LockedPayment, standing: Standing, lost: LineSplit, now: datetime
) -> None:
    """Earn the rest of a written-off invoice now: nothing is recognised of it any more."""
    gone = {each.line: each.parts.deferred for each in lost.lines}
    at = _after(standing, now)
    rest = [
        Earned(line.line, at, line.left.deferred - gone.get(line.line, 0))
        for line in standing.lines
        if line.left.deferred > gone.get(line.line, 0)
    ]
    invoice_id = _owed(payment)
    earning.write(conn, {invoice_id: rest}, {invoice_id: payment.currency})


def _after(standing: Standing, now: datetime) -> datetime:
    """Return the first instant from now on up to which nothing of an invoice was earned yet."""
    return now if standing.last is None else max(now, standing.last + TICK)


def _owed(payment: LockedPayment) -> UUID:
    assert payment.invoice_id is not None, "a charge without an invoice owes nothing"
    return payment.invoice_id


def reopen(
    conn: Connection, payment: LockedPayment, *, cause: Cause, now: datetime, actor: Actor, why: str
) -> None:
    """Reopen a FAILED payment: reverse its write-off and reopen its invoice.

    The caller has made sure that the cycle is still open.
    """
    payments.move(
        conn,
        payment.id,
        [State.FAILED, State.CREATED],
        cause=cause,
        now=now,
        actor=actor,
        evidence={"why": why},
    )
    nth = payment_history.times_failed(conn, payment.id)
    invoice_id = _owed(payment)
    invoices.move(conn, invoice_id, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.OPEN, now)
    key = keys.write_off(invoice_id, nth)
    posting.reverse(conn, key, recipes.write_off_reversed, effective_at=now)


def void(
    conn: Connection,
    payment: LockedPayment,
    *,
    now: datetime,
    actor: Actor,
    why: str,
    subscription_canceled: bool = False,
) -> None:
    """Void an uncollected invoice: payment FAILED, invoice void, entry reversed."""
    canceled = {"subscription_canceled": True} if subscription_canceled else {}
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.FAILED],
        cause=Cause.VOID,
        now=now,
        actor=actor,
        evidence={"why": why, **canceled},
        **payments.NOTHING_NEXT,
        **NOT_PARKED,
        decision=decided(DecisionKind.INVOICE_VOIDED, why=why, **canceled),
    )
    invoice_id = _owed(payment)
    invoices.move(conn, invoice_id, InvoiceStatus.OPEN, InvoiceStatus.VOID, now)
    tax_records.voided(conn, invoice_id, payment.currency, now)
    key = keys.invoice_issued(invoice_id)
    posting.reverse(conn, key, recipes.invoice_voided, effective_at=now)
    crediting.give_back(conn, invoice_id, now, actor)
    standing = recognition.standings(conn, [invoice_id])[invoice_id]
    if standing.recognised:
        at = _after(standing, now)
        earned = Money(standing.recognised, payment.currency)
        entry = recipes.recognition_taken_back(invoice_id=invoice_id, amount=earned, at=at)
        posting.post(conn, [entry])
        rows = [(line.line, -line.recognised) for line in standing.lines if line.recognised]
        of_all = {"invoice_id": invoice_id, "through": at}
        recognition.record(conn, [of_all | {"line": line, "amount": less} for line, less in rows])
