"""One cycle with its invoice and payment: the rows that the facts are read from."""

from dataclasses import dataclass

from sqlalchemy import Connection

from billing.store.payments import invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import Payment
from billing.store.subscriptions import cycles, subscriptions
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Billed:
    """One cycle with its invoice and payment; a one-off payment has neither cycle nor invoice."""

    subscription: Subscription | None
    cycle: Cycle | None
    invoice: Invoice | None
    payment: Payment | None


def billed_of_payment(conn: Connection, payment: Payment) -> Billed:
    """Return a payment with its cycle and invoice."""
    if payment.invoice_id is None:
        return Billed(None, None, None, payment)
    invoice = invoices.find(conn, str(payment.invoice_id))
    assert invoice is not None, "a payment's invoice is never deleted"
    owner = invoice.subscription_id
    subscription = None if owner is None else subscriptions.find(conn, str(owner))
    cycle = None if invoice.cycle_id is None else cycles.get(conn, invoice.cycle_id)
    return Billed(subscription, cycle, invoice, payment)


def billed_of_cycle(conn: Connection, subscription: Subscription, cycle: Cycle) -> Billed:
    """Return a cycle with its invoice and payment."""
    invoice = invoices.of_cycle(conn, cycle.id)
    payment = payments.of_invoice(conn, invoice.id) if invoice is not None else None
    return Billed(subscription, cycle, invoice, payment)
