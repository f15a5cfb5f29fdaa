"""Issuing invoices: rows, lines, credit, payments and entries, a few statements a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import crediting
from billing.flows.cycles.recomputing import detail_of, tax_included, whole_price
from billing.ledger import recipes
from billing.ledger.journal import Entry
from billing.plans.numbers import exact_text
from billing.pricing import Facts, InvoiceDraft, digest_of
from billing.rules.money import Money
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import invoices, payments
from billing.store.subscriptions import items


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice to be issued, with its ids; what it doesn't belong to is None."""

    invoice_id: UUID
    payment_id: UUID
    cycle_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    number: str
    facts: Facts
    draft: InvoiceDraft
    recognise_at: datetime | None
    change_id: UUID | None = None

    @property
    def total(self) -> Money:
        """What the customer owes for it, credit not taken off."""
        return Money(self.draft.total, self.draft.currency)


def issue(conn: Connection, issued: Sequence[Issued], now: datetime) -> None:
    """Write invoices with all that follows from them."""
    if not issued:
        return
    invoices.add(
        conn,
        [_invoice_row(each, now) for each in issued],
        [row for each in issued for row in _line_rows(each)],
    )
    invoices.add_discounts(conn, [row for each in issued for row in _discount_rows(each)])
    payments.add(conn, [_payment_row(each, now) for each in issued if each.draft.due])
    used = crediting.use(conn, issued, now)
    posting.post(conn, [_entry(each, now) for each in issued if each.draft.total] + used)
    items.billed(conn, [charged for each in issued for charged in _charged_once(each)])


def _invoice_row(issued: Issued, now: datetime) -> dict[str, Any]:
    draft, document = issued.draft, issued.facts.document()
    paid = draft.due == 0
    return {
        "id": issued.invoice_id,
        "cycle_id": issued.cycle_id,
        "subscription_id": issued.subscription_id,
        "customer_id": issued.customer_id,
        "change_id": issued.change_id,
        "kind": issued.facts.kind,
        "number": issued.number,
        "currency": draft.currency,
        "net": draft.net,
        "tax": draft.tax,
        "total": draft.total,
        "discount": draft.discount,
        "credit": draft.total - draft.due,
        "status": "paid" if paid else "open",
        "issued_at": now,
        "resolved_at": now if paid else None,
        "recognise_at": issued.recognise_at,
        "rules": issued.facts.rules,
        "facts": document,
        "facts_digest": digest_of(document),
    }


def _line_rows(issued: Issued) -> list[dict[str, Any]]:
    return [
        {
            "invoice_id": issued.invoice_id,
            "line": number,
            "item": line.item,
            "description": line.description,
            "quantity": exact_text(line.quantity),
            "unit_amount": whole_price(line),
            "unit_price": None if line.unit_price is None else exact_text(line.unit_price),
            "amount": line.net,
            "discount": line.discount,
            "tax": line.tax,
            "tax_included": tax_included(line),
            "period_start": None if line.period is None else line.period.start,
            "period_end": None if line.period is None else line.period.end,
            "part": line.part,
            "whole": line.whole,
            "detail": detail_of(line),
        }
        for number, line in enumerate(issued.draft.lines, start=1)
    ]


def _discount_rows(issued: Issued) -> list[dict[str, Any]]:
    return [
        {
            "invoice_id": issued.invoice_id,
            "redemption_id": each.redemption,
            "base": each.base,
            "amount": each.amount,
        }
        for each in issued.draft.discounts
    ]


def _payment_row(issued: Issued, now: datetime) -> dict[str, Any]:
    return {
        "id": issued.payment_id,
        "invoice_id": issued.invoice_id,
        "subscription_id": issued.subscription_id,
        "customer_id": issued.customer_id,
        "amount": issued.draft.due,
        "currency": issued.draft.currency,
        "state": "CREATED",
        "next_attempt_at": now,
        "next_attempt_kind": "first",
        "dispatch_after": NOT_HELD,
        "created_at": now,
        "updated_at": now,
    }


def _entry(issued: Issued, now: datetime) -> Entry:
    draft = issued.draft
    return recipes.invoice_issued(
        invoice_id=issued.invoice_id,
        customer_id=issued.customer_id,
        cycle_id=issued.cycle_id,
        net=Money(draft.net, draft.currency),
        tax=Money(draft.tax, draft.currency),
        effective_at=now,
    )


def _charged_once(issued: Issued) -> Iterator[tuple[UUID, str, UUID]]:
    """Yield the items that this invoice charges once and for all."""
    if issued.subscription_id is not None:
        for charge in issued.facts.charges:
            if charge.once:
                yield issued.subscription_id, charge.item, issued.invoice_id
