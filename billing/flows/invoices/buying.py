"""Buying credit: an invoice of the amount, whose payment grants it.

Credit pays no invoice of credit, and coupons take nothing off. All in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.cycles.opening import hold_catalog
from billing.flows.invoices.asking import (
    AskedInvoice,
    check_amount,
    check_currency,
    check_payer,
    issue,
    ordered_charge,
    other_than,
)
from billing.flows.policy import Policy
from billing.ids import derived_id
from billing.plans.currencies import charge_step
from billing.pricing import Facts, InvoiceKind, draft
from billing.rules.actor import Actor
from billing.rules.credit import PRIORITIES, PRIORITY
from billing.rules.money import Money
from billing.store.payments import invoices, top_ups
from billing.store.payments.invoices import Invoice
from billing.store.subscriptions.customers import Customer

VALID_DAYS: Final = range(1, 36_501)
_NAME: Final = "Credit"


@dataclass(frozen=True, slots=True)
class TopUpOrder:
    """How much credit a customer, by id or external id, buys, in minor units.

    It pays for `valid_days` from its payment on, or for good.
    """

    customer: str
    amount: int
    currency: str
    priority: int = PRIORITY
    valid_days: int | None = None
    reason: str = ""


def check(conn: Connection, order: TopUpOrder, policy: Policy) -> Customer:
    """Check that the credit could be bought now, and return who buys it.

    Raises: NotFound, BadInput.
    """
    check_currency(order.currency)
    check_amount(Money(order.amount, order.currency), policy, "amount")
    if order.priority not in PRIORITIES:
        raise BadInput(f"a priority is from 1 to 100, not {order.priority}", where="priority")
    if order.valid_days is not None and order.valid_days not in VALID_DAYS:
        raise BadInput(
            f"credit is valid for 1 to {VALID_DAYS[-1]} days, not {order.valid_days}",
            where="valid_days",
        )
    customer = existing_customer(conn, order.customer)
    check_payer(customer)
    return customer


def buy(
    conn: Connection,
    order: TopUpOrder,
    invoice_id: UUID,
    *,
    now: datetime,
    actor: Actor,
    policy: Policy,
    again: bool = False,
) -> Invoice:
    """Issue the invoice of credit that a customer buys; return it.

    In the caller's transaction, which ends with it. A second call under the id returns the
    existing invoice; a recovery issues it `again`, as of the instant at which it was issued.
    Raises: NotFound, BadInput, Conflict, Unavailable.
    """
    refuse_anything_like_a_card(reason=order.reason)
    hold_catalog(conn, now, policy)
    known = invoices.find(conn, str(invoice_id))
    if known is not None:
        return _same(conn, known, order)
    customer = check(conn, order, policy)
    facts = _facts(order)
    asked = AskedInvoice(
        invoice_id,
        payment_of(invoice_id, now),
        customer.id,
        facts,
        draft(facts),
    )
    issued = issue(conn, asked, now, policy, again=again)
    top_ups.add(
        conn,
        {
            "invoice_id": invoice_id,
            "customer_id": customer.id,
            "priority": order.priority,
            "valid_days": order.valid_days,
            "reason": order.reason or "bought",
            "actor": str(actor),
            "created_at": now,
        },
    )
    return issued


def payment_of(invoice_id: UUID, issued_at: datetime) -> UUID:
    """Return the id of the payment of an invoice of credit."""
    return derived_id("top_up_payment", invoice_id, 0, issued_at)


def _facts(order: TopUpOrder) -> Facts:
    return Facts(
        kind=InvoiceKind.TOP_UP,
        currency=order.currency,
        zone="UTC",
        charges=(ordered_charge(_NAME, order.amount),),
        step=charge_step(order.currency),
        waives=False,
    )


def _same(conn: Connection, known: Invoice, order: TopUpOrder) -> Invoice:
    customer = existing_customer(conn, order.customer)
    wanted = (InvoiceKind.TOP_UP, customer.id, order.currency, order.amount)
    same = (known.kind, known.customer_id, known.currency, known.total) == wanted
    if same:
        kept = top_ups.get(conn, known.id)
        same = (kept.priority, kept.valid_days) == (order.priority, order.valid_days)
    if not same:
        raise other_than(known)
    return known
