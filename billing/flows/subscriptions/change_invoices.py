"""The invoice of a change within a period: what was charged for it, and what comes to that."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.pricing import (
    Charge,
    Charged,
    Facts,
    InvoiceKind,
    LineLeft,
    draft,
    lines_of_change,
)
from billing.rules.periods import Period
from billing.store.payments import invoices
from billing.store.payments.invoices import Invoice
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


def charged_for(conn: Connection, subscription_id: UUID, cycle: Cycle) -> Sequence[Charged]:
    """Return what was charged for a cycle's period, with its invoice and those of changes in it.

    Raises: Conflict, where an invoice of an earlier release has no facts.
    """
    start, end = cycle.period_start, cycle.period_end
    found: list[Charged] = []
    for invoice in invoices.of_period(conn, subscription_id, start, end):
        if invoice.facts is None:
            raise Conflict(
                f"invoice {invoice.number} is of an earlier release: what was charged can't be"
                " compared",
                code=ErrorCode.CHANGE_INVOICE_WITHOUT_FACTS,
                number=invoice.number,
            )
        found += _charged(invoice, Facts.from_document(invoice.facts))
    return found


def _charged(invoice: Invoice, facts: Facts) -> Iterator[Charged]:
    lines = draft(facts).lines
    for index, charge in enumerate(facts.charges):
        if charge.once or charge.metered:
            continue
        left = tuple(
            LineLeft(number, line.gross)
            for number, line in enumerate(lines)
            if line.charge == index
        )
        yield Charged(invoice.id, left, charge)


def facts_of_change(
    subscription: Subscription,
    charged: Sequence[Charged],
    whole: Facts,
    period: Period,
    at: datetime,
) -> Facts | None:
    """Return the facts of the invoice of a change at an instant; None where it costs nothing.

    `whole` are the facts that the period would have with what is held after it. Raises: Conflict,
    where something would be given back.
    """
    change = lines_of_change(charged, whole.charges, period, at, subscription.zone, step=whole.step)
    if change.returns:
        raise Conflict(
            f"subscription {subscription.id} paid for days that the change takes away",
            code=ErrorCode.CHANGE_CREDIT,
            subscription_id=subscription.id,
        )
    charges = tuple(charge for charge in change.charges if _costs(charge))
    if not charges:
        return None
    return replace(
        whole,
        kind=InvoiceKind.CHANGE,
        charges=charges,
        carried=0,
        waives=True,
    )


def _costs(charge: Charge) -> bool:
    return not charge.price.is_free
