"""What a provider that computed taxes is told: invoices, and what notes and voids took back.

Calls are rows here, written in the transaction of their cause; a worker sends them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.ids import new_id
from billing.pricing import Facts, InvoiceDraft, NoteDraft, draft
from billing.store.payments import tax_calls
from billing.store.payments.invoices import Invoice
from billing.store.payments.tax_calls import TaxCall
from billing.tax import TaxDecision
from billing.tax.calls import LineBack, TaxCallKind, reversal_document
from billing.tax.external import EXTERNAL

_MODE_END: Final = ":"


def invoiced(
    conn: Connection, decided: Iterable[tuple[UUID, TaxDecision | None]], now: datetime
) -> None:
    """Let invoices, by id with their decisions, be recorded where a provider computed the taxes."""
    of_provider = {
        decision.id: invoice_id
        for invoice_id, decision in decided
        if decision is not None and decision.provider == EXTERNAL
    }
    if not of_provider:
        return
    used = tax_calls.use(conn, of_provider)
    assert len(used) == len(of_provider), "a calculation is used for one invoice"
    rows = []
    for call in used:
        assert call.invoice_id is not None, "it is used"
        reference = str(call.invoice_id)
        rows.append(_row(call, TaxCallKind.RECORD, reference, str(call.provider_ref), now))
    tax_calls.add(conn, rows)


def credited(
    conn: Connection, invoice: Invoice, note_id: UUID, note: NoteDraft, now: datetime
) -> None:
    """Let what a credit note took back of an invoice be recorded."""
    record = tax_calls.record_of(conn, invoice.id)
    if record is None:
        return
    assert invoice.facts is not None, "its taxes are in its facts"
    lines = tuple(_back(draft(Facts.from_document(invoice.facts)), note))
    request = reversal_document(note.currency, lines)
    row = _row(record, TaxCallKind.REVERSAL, str(note_id), request, now)
    tax_calls.add(conn, [row | {"note_id": note_id}])


def voided(conn: Connection, invoice_id: UUID, currency: str, now: datetime) -> None:
    """Let it be recorded that an invoice was voided."""
    record = tax_calls.record_of(conn, invoice_id)
    if record is not None:
        request = reversal_document(currency, ())
        reference = f"{invoice_id}:void"
        row = _row(record, TaxCallKind.REVERSAL, reference, request, now)
        tax_calls.add(conn, [row | {"note_id": None}])


def _row(
    before: TaxCall, kind: TaxCallKind, reference: str, request: str, now: datetime
) -> dict[str, Any]:
    """Return the row of a call that follows another one."""
    assert before.invoice_id is not None, "it is of an invoice"
    mode, _, _ = before.idempotency_key.partition(_MODE_END)
    return {
        "id": new_id(),
        "kind": kind,
        "provider": before.provider,
        "customer_id": before.customer_id,
        "subscription_id": before.subscription_id,
        "invoice_id": before.invoice_id,
        "follows_id": before.id,
        "reference": reference,
        "request": request,
        "idempotency_key": f"{mode}{_MODE_END}tax{_MODE_END}{reference}",
        "asked_at": now,
        "next_attempt_at": now,
    }


def _back(invoice: InvoiceDraft, note: NoteDraft) -> Iterator[LineBack]:
    """Yield what is given back of the lines that the provider knows: those that came to something.

    A price that contains its tax is given back with it.
    """
    for line in note.lines:
        of = invoice.lines[line.line]
        contains = of.gross != of.net + of.discount
        amount = line.net + line.tax if contains else line.net
        if amount or line.tax:
            yield LineBack(str(line.line + 1), amount, line.tax)
