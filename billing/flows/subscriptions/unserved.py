"""What was paid for days that a cancellation at once takes away: the credit notes of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.cycles import holding
from billing.flows.policy import Policy
from billing.flows.subscriptions.change_invoices import (
    GivesBack,
    QuotedNote,
    charged_for,
    cost_of_change,
    quoted_notes,
    running,
)
from billing.flows.subscriptions.changed_terms import held_now
from billing.rules.credit_notes import Destination
from billing.rules.invoices import InvoiceStatus
from billing.rules.subscriptions import BILLED_KINDS
from billing.store.payments import invoices, recognition
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions import addons, cycles, plans
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


def quoted(
    conn: Connection,
    subscription: Subscription,
    undecided: Sequence[LockedPayment],
    to: Destination,
    policy: Policy,
    at: datetime,
) -> tuple[QuotedNote, ...]:
    """Return the credit notes of a (locked) subscription that ends at an instant.

    They give back what was paid in advance for the civil days that are left of the running period,
    that of the instant among them, as a change would. What was charged once, and what isn't paid,
    is no part of it. For a period that isn't opened yet nothing was paid. Whoever calls holds the
    locks of the period's payments, the `undecided` ones among them.

    Raises: Conflict, where a payment is being made; NotRefundable, where money is to go back and
    credit paid; NotCreditable.
    """
    cycle = cycles.last(conn, subscription.id)
    if (
        cycle is None
        or cycle.kind not in BILLED_KINDS
        or not cycle.period_start <= at < cycle.period_end
    ):
        return ()
    unpaid = _unpaid(conn, subscription, cycle, undecided)
    # Notes return the taxes that their invoices had: none is decided on.
    untaxed = replace(policy, tax=None)
    catalog, batch = plans.published(conn), holding.read(conn, [subscription], untaxed)
    batch.addons = addons.published(conn)
    held = replace(batch.of(subscription, at), addons=batch.addons)
    terms, version = held_now(subscription, held, catalog)
    period = running(subscription, cycle, batch, policy, at)
    before = period.facts(terms, version, catalog[subscription.plan])
    charged = charged_for(conn, subscription.id, cycle)
    nothing = replace(before, charges=())
    cost = cost_of_change(subscription, charged, before, nothing, period.scheduled.period, at)
    returns = {each: asked for each, asked in cost.returns.items() if each not in unpaid}
    return quoted_notes(conn, returns, GivesBack(to, insists=True), subscription.id, at)


def _unpaid(
    conn: Connection,
    subscription: Subscription,
    cycle: Cycle,
    undecided: Sequence[LockedPayment],
) -> frozenset[UUID]:
    """Return the invoices of a cycle's period that are voided when it is canceled.

    Raises: Conflict, where the outcome of an attempt is awaited: it may be paid.
    """
    billed = invoices.of_period(conn, subscription.id, cycle.period_start, cycle.period_end)
    unpaid = frozenset(each.id for each in billed if each.status is not InvoiceStatus.PAID)
    being_made = {each.invoice_id for each in undecided if each.open_attempt_n is not None}
    if unpaid & being_made:
        raise Conflict(
            f"subscription {subscription.id} has a payment that is being made",
            code=ErrorCode.CHANGE_PAYMENT_UNDER_WAY,
            subscription_id=subscription.id,
        )
    return unpaid


def earn(conn: Connection, subscription: Subscription, now: datetime) -> None:
    """Let what is left of the running period's invoices be earned: nothing is served after now."""
    cycle = cycles.last(conn, subscription.id)
    if cycle is None or not cycle.period_start <= now < cycle.period_end:
        return
    billed = invoices.of_period(conn, subscription.id, cycle.period_start, cycle.period_end)
    due = {each.id: now for each in billed if each.recognise_at is not None}
    recognition.schedule_next(conn, due)
