"""Issuing invoices: rows, lines, credit, payments and entries, a few statements a batch.

The numbers of a series are taken after everything that another transaction could be waited for: who
takes them holds the series until it commits.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles import closing_usage, crediting, tax_records
from billing.flows.cycles.recomputing import detail_of, tax_included, whole_price
from billing.ledger import recipes
from billing.ledger.journal import Entry
from billing.plans.numbers import exact_text
from billing.pricing import Facts, InvoiceDraft, InvoiceKind, digest_of
from billing.rules.invoices import number as number_of
from billing.rules.money import Money
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import invoice_numbers, invoices, payments, tax_decisions
from billing.store.subscriptions import items
from billing.tax import TaxDecision


@dataclass(frozen=True, slots=True)
class InSeries:
    """The next number of a series, which isn't known before the invoice is issued."""

    series: str


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice to be issued, with its ids; what it doesn't belong to is None."""

    invoice_id: UUID
    payment_id: UUID
    cycle_id: UUID | None
    subscription_id: UUID | None
    customer_id: UUID
    number: str | InSeries
    facts: Facts
    draft: InvoiceDraft
    recognise_at: datetime | None
    change_id: UUID | None = None
    decision: TaxDecision | None = None
    """What it is taxed by; it is stored before the invoice."""

    @property
    def total(self) -> Money:
        """What the customer owes for it, credit not taken off."""
        return Money(self.draft.total, self.draft.currency)


def issue(conn: Connection, issued: Sequence[Issued], now: datetime) -> None:
    """Write invoices with all that follows from them; the caller then commits."""
    if not issued:
        return
    decided = [each.decision for each in issued if each.decision is not None]
    tax_decisions.keep(conn, decided, now)
    used = crediting.used(conn, issued, now)
    entries = [_entry(each, now) for each in issued if each.draft.total]
    posting.post(conn, [*entries, *used.entries])
    taken = _take_numbers(conn, issued)
    issued = list(_numbered(issued, taken))
    invoices.add(
        conn,
        [_invoice_row(each, now) for each in issued],
        [row for each in issued for row in _line_rows(each)],
    )
    for series, numbers in taken.items():
        invoice_numbers.give(conn, series, numbers)
    invoices.add_discounts(conn, [row for each in issued for row in _discount_rows(each)])
    tax_decisions.add_taxes(conn, [row for each in issued for row in _tax_rows(each)])
    tax_records.invoiced(conn, [(each.invoice_id, each.decision) for each in issued], now)
    payments.add(conn, [_payment_row(each, now) for each in issued if each.draft.due])
    crediting.write(conn, used)
    items.billed(conn, [charged for each in issued for charged in _charged_once(each)])
    closing_usage.write_billed(
        conn, [(each.subscription_id, each.invoice_id, each.facts) for each in issued], now
    )


def _take_numbers(conn: Connection, issued: Sequence[Issued]) -> Mapping[str, range]:
    """Take as many numbers of each series as invoices want, the series in one order."""
    wanted = [each.number.series for each in issued if isinstance(each.number, InSeries)]
    counted = sorted(Counter(wanted).items())
    return {series: invoice_numbers.take(conn, series, count) for series, count in counted}


def _numbered(issued: Sequence[Issued], taken: Mapping[str, range]) -> Iterator[Issued]:
    rest = {series: iter(numbers) for series, numbers in taken.items()}
    for each in issued:
        if isinstance(each.number, InSeries):
            series = each.number.series
            yield replace(each, number=number_of(series, next(rest[series])))
        else:
            yield each


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
            "earned_at_issue": line.at_issue,
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


def _tax_rows(issued: Issued) -> list[dict[str, Any]]:
    return [
        {
            "invoice_id": issued.invoice_id,
            "n": n,
            "decision_id": issued.facts.decision,
            "name": each.name,
            "jurisdiction": each.jurisdiction,
            "treatment": each.treatment,
            "rate": exact_text(each.rate),
            "included": each.included,
            "reason": each.reason,
            "base": each.base,
            "amount": each.amount,
        }
        for n, each in enumerate(issued.draft.taxes, start=1)
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
    if issued.facts.kind is InvoiceKind.TOP_UP:
        return recipes.top_up_issued(
            invoice_id=issued.invoice_id,
            customer_id=issued.customer_id,
            total=issued.total,
            effective_at=now,
        )
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
