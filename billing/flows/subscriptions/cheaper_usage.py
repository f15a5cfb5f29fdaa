"""Giving back what usage was billed too much for, because what came late made it cheaper.

Locks are taken payments first, then their subscription, as everywhere. What can't be given back
yet, because its invoice isn't paid, is looked at again after a day.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows.credit_notes import issuing as notes
from billing.flows.credit_notes.drafting import Asked
from billing.flows.cycles import closing_usage, holding
from billing.flows.cycles.arrears import Cheaper, arrears_of
from billing.flows.policy import Policy
from billing.ids import derived_id
from billing.pricing import Facts, Return, draft
from billing.rules.actor import SCHEDULER
from billing.rules.credit_notes import Destination
from billing.rules.invoices import InvoiceStatus
from billing.store.payments import credit_notes, invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.subscriptions import plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions

_AGAIN: Final = timedelta(days=1)


def give_back(
    engine: Transactions,
    subscription_id: UUID,
    billed_in: Sequence[UUID],
    *,
    now: datetime,
    policy: Policy,
) -> int:
    """Give back what got cheaper of a subscription's usage; return how many notes were issued.

    `billed_in` are the invoices that billed it.
    """
    with marked(CrashPoint.USAGE_GIVEN_BACK), engine.begin() as conn:
        for invoice_id in sorted(billed_in):
            payment = payments.of_invoice(conn, invoice_id)
            if payment is not None:
                payments.lock_known_payment(conn, payment.id)
        subscription = subscriptions.lock(conn, subscription_id)
        assert subscription is not None, "subscriptions are never deleted"
        held = holding.of(conn, subscription, now, policy)
        found = arrears_of(subscription, held.usage, held, plans.published(conn))
        locked = [each for each in found.cheaper if set(each.invoices) <= set(billed_in)]
        given = [_give_back(conn, subscription, each, now) for each in locked]
        if subscription.canceled_at is None:
            waits = len(locked) < len(found.cheaper) or None in given
            at = now + _AGAIN if waits else None
            subscriptions.change(conn, subscription.id, usage_due_at=at)
        return sum(each or 0 for each in given)


def _give_back(
    conn: Connection, subscription: Subscription, cheaper: Cheaper, now: datetime
) -> int | None:
    """Return how many notes were issued; None where they wait for an invoice to be paid."""
    known = [invoices.find(conn, str(invoice_id)) for invoice_id in cheaper.invoices]
    billed = [each for each in known if each is not None]
    if any(each.status is InvoiceStatus.OPEN for each in billed):
        return None
    asked = list(_asked(conn, [each for each in billed if each.status.earns], cheaper))
    for k, (invoice, returns) in enumerate(asked):
        notes.issue(
            conn,
            invoice.id,
            Asked(tuple(returns)),
            destination=Destination.CREDIT,
            reason="usage that came late made it cheaper",
            actor=SCHEDULER,
            now=now,
            note_id=derived_id("usage_note", subscription.id, k, now),
        )
    given_in = asked[0][0].id if asked else None
    closing_usage.write_given_back(conn, subscription.id, cheaper.closings, given_in, now)
    return len(asked)


def _asked(
    conn: Connection, billed: Sequence[Invoice], cheaper: Cheaper
) -> Iterator[tuple[Invoice, list[Return]]]:
    """Yield what is given back of each invoice: what is left of its lines, up to the amount."""
    places = {(each.meter, each.n, each.segment) for each in cheaper.closings}
    amount = cheaper.amount
    for invoice in billed:
        assert invoice.facts is not None, "it bills usage"
        facts, noted = (
            Facts.from_document(invoice.facts),
            credit_notes.last_of_lines(conn, invoice.id),
        )
        bills = {
            index
            for index, charge in enumerate(facts.charges)
            if any((each.meter, each.n, each.segment) in places for each in charge.closings)
        }
        returns = []
        for index, line in enumerate(draft(facts).lines):
            if line.charge not in bills or not amount:
                continue
            left = line.gross - (noted[index + 1].all_gross if index + 1 in noted else 0)
            if min(left, amount) > 0:
                returns.append(Return(index, min(left, amount)))
                amount -= min(left, amount)
        if returns:
            yield invoice, returns
