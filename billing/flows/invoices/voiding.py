"""Voiding invoices that belong to no subscription, while they are open."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode, NotFound
from billing.flows.payments.locking import refuse_open_attempt
from billing.flows.payments.write_offs import void as void_payment
from billing.pan import refuse_card_number
from billing.rules.actor import Actor
from billing.rules.invoices import InvoiceStatus
from billing.store.payments import invoices, payments
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import LockedPayment


def voidable(conn: Connection, invoice_id: UUID) -> tuple[Invoice, LockedPayment]:
    """Return an invoice that may be voided now, with its payment; both are locked.

    Raises: NotFound, Conflict.
    """
    found = payments.of_invoice(conn, invoice_id)
    payment = None if found is None else payments.lock_known_payment(conn, found.id)
    invoice = invoices.find(conn, str(invoice_id))
    if invoice is None:
        raise NotFound(f"no invoice {invoice_id}", where="invoice")
    if invoice.subscription_id is not None:
        raise Conflict(
            f"invoice {invoice.number} is of a subscription",
            code=ErrorCode.INVOICE_OF_SUBSCRIPTION,
            invoice=invoice.number,
            subscription_id=invoice.subscription_id,
        )
    if invoice.status is not InvoiceStatus.OPEN or payment is None:
        raise Conflict(
            f"invoice {invoice.number} is {invoice.status}: only an open one is voided",
            code=ErrorCode.INVOICE_NOT_OPEN,
            invoice=invoice.number,
            status=invoice.status,
        )
    refuse_open_attempt(payment)
    return invoice, payment


def void(conn: Connection, invoice_id: UUID, *, now: datetime, actor: Actor, why: str) -> Invoice:
    """Void an open invoice, in the caller's transaction; return it as it was.

    The customer owes nothing for it, and credit that paid a part of it can be used again. Raises:
    NotFound, Conflict.
    """
    refuse_card_number(why, "reason")
    invoice, payment = voidable(conn, invoice_id)
    void_payment(conn, payment, now=now, actor=actor, why=why)
    return invoice
