"""Issuing credit notes: the note, its entry, and the credit or the refund that it gives.

    lock payment and invoice  ->  draft  ->  note, lines, entry, grant or refund

All in the caller's transaction. A note stands for good: where its refund fails, what is owed of it
becomes credit of the customer.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import Conflict, ErrorCode
from billing.flows.credit_notes.drafting import Asked, DraftedNote, drafted
from billing.flows.cycles import crediting, tax_records
from billing.flows.refunds import requesting
from billing.ids import new_id
from billing.ledger import recipes
from billing.pan import refuse_card_number
from billing.rules.actor import Actor
from billing.rules.credit_notes import Destination, series_of
from billing.rules.money import Money
from billing.store.journal import posting
from billing.store.payments import credit_notes, line_parts, tax_decisions
from billing.store.payments.credit_notes import CreditNote, CreditNoteLine
from billing.store.payments.line_parts import PartsOf


def issue(
    conn: Connection,
    invoice_id: UUID,
    asked: Asked,
    *,
    destination: Destination,
    reason: str,
    actor: Actor,
    now: datetime,
    note_id: UUID | None = None,
) -> CreditNote:
    """Give back what is asked for of a paid invoice; return the note.

    In the caller's transaction. Where the caller gives the `note_id`, a second call returns the
    existing note. Whoever issues notes of several invoices drafts all of them first, so that it
    holds their locks before that of the series.

    Raises: NotFound, NotCreditable, NotRefundable, BadInput, Conflict.
    """
    refuse_card_number(reason, "reason")
    known = None if note_id is None else credit_notes.get(conn, note_id)
    if known is not None:
        return _same(known, invoice_id, destination)
    made = drafted(conn, invoice_id, asked, destination)
    # Another call under this id may have waited for the same locks, and been first.
    known = None if note_id is None else credit_notes.get(conn, note_id)
    if known is not None:
        return _same(known, invoice_id, destination)
    return _write(conn, made, note_id or new_id(), reason, actor, now)


def _same(known: CreditNote, invoice_id: UUID, destination: Destination) -> CreditNote:
    if (known.invoice_id, known.destination) != (invoice_id, destination):
        raise Conflict(
            f"credit note {known.id} exists and gives back something else",
            code=ErrorCode.CREDIT_NOTE_ID_TAKEN,
            note_id=known.id,
        )
    return known


def _write(
    conn: Connection, made: DraftedNote, note_id: UUID, reason: str, actor: Actor, now: datetime
) -> CreditNote:
    invoice, draft, parts = made.invoice, made.note, made.parts
    series = series_of(invoice.number)
    note = credit_notes.add(
        conn,
        {
            "id": note_id,
            "series": series,
            "n": credit_notes.next_n(conn, series),
            "invoice_id": invoice.id,
            "subscription_id": invoice.subscription_id,
            "customer_id": invoice.customer_id,
            "currency": invoice.currency,
            "net": draft.net,
            "tax": draft.tax,
            "discount": draft.discount,
            "recognised": parts.recognised,
            "deferred": parts.deferred,
            "destination": made.destination,
            "reason": reason,
            "actor": str(actor),
            "created_at": now,
        },
        _lines(made, note_id),
    )
    line_parts.add(conn, PartsOf.CREDIT_NOTE, note_id, invoice.id, made.taken.lines)
    tax_decisions.add_of_note(conn, _taxes(conn, made, note_id))
    tax_records.credited(conn, invoice, note_id, draft, now)
    posting.post(
        conn,
        [
            recipes.credit_note(
                note_id=note_id,
                customer_id=invoice.customer_id,
                destination=made.destination,
                recognised=Money(parts.recognised, invoice.currency),
                deferred=Money(parts.deferred, invoice.currency),
                tax=Money(parts.tax, invoice.currency),
                effective_at=now,
            )
        ],
    )
    if made.destination is Destination.CREDIT:
        crediting.grant_note(conn, note, now)
    if made.destination is Destination.REFUND:
        assert made.payment is not None, "what is refunded was captured"
        requesting.add_for_note(conn, made.payment, note, now)
    return note


def _taxes(conn: Connection, made: DraftedNote, note_id: UUID) -> Sequence[Mapping[str, Any]]:
    """Return what a note takes back of each tax; invoices without decisions have none."""
    if not tax_decisions.of_invoice(conn, made.invoice.id):
        return []
    return [
        {
            "note_id": note_id,
            "invoice_id": made.invoice.id,
            "n": each.tax + 1,
            "base": each.base,
            "amount": each.amount,
        }
        for each in made.note.taxes
    ]


def _lines(made: DraftedNote, note_id: UUID) -> Sequence[CreditNoteLine]:
    lines = []
    for line in made.note.lines:
        before = made.last.get(line.line + 1)
        lines.append(
            CreditNoteLine(
                note_id=note_id,
                invoice_id=made.invoice.id,
                line=line.line + 1,
                n=1 if before is None else before.n + 1,
                gross=line.gross,
                discount=line.discount,
                net=line.net,
                tax=line.tax,
                all_gross=line.gross + (0 if before is None else before.all_gross),
                all_discount=line.discount + (0 if before is None else before.all_discount),
                all_net=line.net + (0 if before is None else before.all_net),
                all_tax=line.tax + (0 if before is None else before.all_tax),
            )
        )
    return lines
