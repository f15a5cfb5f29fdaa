"""The draft of a credit note: what is asked for, at the lines of its invoice as they stand now.

Locks are taken in the order in which others take them: payment, its invoice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, ErrorCode, NotFound
from billing.flows.payments.locking import refuse_recovering
from billing.flows.refunds import requesting
from billing.plans.currencies import charge_step
from billing.pricing import (
    BadReturn,
    DraftLine,
    Facts,
    InvoiceDraft,
    InvoiceKind,
    Noted,
    NoteDraft,
    Return,
    credit_note,
    draft,
)
from billing.rules.credit_notes import Destination
from billing.rules.invoices import InvoiceStatus
from billing.rules.line_parts import LineSplit, ReturnedLine, note_by_line
from billing.rules.money import Money, half_up
from billing.rules.refunds import Parts
from billing.store.payments import credit_notes, invoices, payments, recognition
from billing.store.payments.credit_notes import CreditNoteLine
from billing.store.payments.invoices import Invoice
from billing.store.payments.payments import LockedPayment


class NotCreditable(Conflict):
    """The invoice takes no credit note, or not of that much; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a note is to give back: of some lines, a share of each line, or all that is left.

    `lines` count from 0, in minor units of the line's gross: before its discount. `share` is a
    part of a whole, as 17 of 31 days, of what each line came to.
    """

    lines: Sequence[Return] = ()
    share: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DraftedNote:
    """A credit note that may be issued now, with what was locked for it.

    `taken` is what it takes of the invoice's lines. `last` has the last line of an earlier note, by
    line of the invoice.
    """

    invoice: Invoice
    payment: LockedPayment | None
    destination: Destination
    note: NoteDraft
    taken: LineSplit
    last: Mapping[int, CreditNoteLine]

    @property
    def parts(self) -> Parts:
        """The parts of what it gives back."""
        return self.taken.parts


def drafted(
    conn: Connection, invoice_id: UUID, asked: Asked, destination: Destination
) -> DraftedNote:
    """Return the note as it would be issued now; the payment and the invoice are locked.

    Raises: NotFound, NotCreditable, NotRefundable, BadInput.
    """
    invoice, payment = _locked(conn, invoice_id)
    if invoice.kind is InvoiceKind.TOP_UP:
        raise NotCreditable(
            f"invoice {invoice.number} is of credit: what is unused is refunded",
            code=ErrorCode.CREDIT_NOTE_OF_TOP_UP,
            invoice=invoice.number,
        )
    if invoice.status is not InvoiceStatus.PAID:
        raise NotCreditable(
            f"invoice {invoice.number} is {invoice.status}: a credit note is of one that is paid",
            code=ErrorCode.INVOICE_NOT_PAID,
            invoice=invoice.number,
            status=invoice.status,
        )
    last = credit_notes.last_of_lines(conn, invoice_id)
    note = _note(_draft_of(conn, invoice), asked, last, invoice)
    total = Money(note.total, note.currency)
    _refuse_too_much(conn, invoice, payment, total, destination)
    standing = recognition.standings(conn, [invoice_id])[invoice_id]
    noted = [ReturnedLine(line.line + 1, line.net, line.tax) for line in note.lines]
    taken = note_by_line(noted, standing.by_line)
    if taken is None:
        raise _too_high(invoice, total, Money(standing.left.total, note.currency))
    return DraftedNote(invoice, payment, destination, note, taken, last)


def _locked(conn: Connection, invoice_id: UUID) -> tuple[Invoice, LockedPayment | None]:
    payment = payments.of_invoice(conn, invoice_id)
    locked = None if payment is None else payments.lock_known_payment(conn, payment.id)
    recognition.lock_invoice(conn, invoice_id)
    invoice = invoices.find(conn, str(invoice_id))
    if invoice is None:
        raise NotFound(f"no invoice {invoice_id}", invoice_id=invoice_id)
    return invoice, locked


def _draft_of(conn: Connection, invoice: Invoice) -> InvoiceDraft:
    """Return an invoice as it was drafted; of earlier releases, as its lines have it."""
    if invoice.facts is not None:
        return draft(Facts.from_document(invoice.facts))
    return InvoiceDraft(
        currency=invoice.currency,
        lines=tuple(
            DraftLine(
                item=line.item,
                description=line.description,
                period=None,
                part=line.part,
                whole=line.whole,
                quantity=line.quantity,
                unit_price=None,
                gross=line.gross,
                discount=line.discount,
                net=line.amount,
                tax=line.tax,
                charge=None,
            )
            for line in invoices.lines(conn, invoice.id)
        ),
        discounts=(),
        taxes=(),
        credit=(),
        net=invoice.net,
        discount=invoice.discount,
        tax=invoice.tax,
        total=invoice.total,
        small=0,
        due=invoice.total,
    )


# --- what is asked for --------------------------------------------------------------------------


def _note(
    of: InvoiceDraft, asked: Asked, last: Mapping[int, CreditNoteLine], invoice: Invoice
) -> NoteDraft:
    noted = [Noted(number - 1, line.all_gross) for number, line in last.items()]
    returns = _returns(of, asked, noted, invoice)
    try:
        note = credit_note(of, noted, returns)
    except BadReturn as error:
        raise NotCreditable(
            f"invoice {invoice.number}: more is to be given back of a line than is left of it",
            where=_place(error, invoice.currency),
            code=ErrorCode.CREDIT_NOTE_TOO_HIGH,
            invoice=invoice.number,
        ) from error
    if note.total == 0:
        raise NotCreditable(
            f"a credit note of invoice {invoice.number} would give nothing back",
            code=ErrorCode.CREDIT_NOTE_OF_NOTHING,
            invoice=invoice.number,
        )
    return note


def _place(error: BadReturn, currency: str) -> str:
    """Return which line it is of, by the number that invoices show, and what is left of it."""
    left, step = error.left or 0, error.step or 1
    steps = "" if step == 1 else f", in steps of {Money(step, currency)}"
    return (
        f"line {error.line + 1}: {Money(error.wanted, currency)} can't be given back,"
        f" {Money(left, currency)} is left{steps}"
    )


def _returns(
    of: InvoiceDraft, asked: Asked, noted: Sequence[Noted], invoice: Invoice
) -> Sequence[Return]:
    if asked.lines and asked.share is not None:
        raise BadInput("a credit note is of some lines or of a share of all, not of both")
    for each in asked.lines:
        if not 0 <= each.line < len(of.lines):
            raise BadInput(
                f"invoice {invoice.number} has lines 1 to {len(of.lines)}, not {each.line + 1}",
                code=ErrorCode.CREDIT_NOTE_LINE,
                invoice=invoice.number,
            )
    if asked.lines:
        return asked.lines
    if asked.share is None:
        return [Return(index) for index in range(len(of.lines))]
    return _share(of, *asked.share)


def _share(of: InvoiceDraft, part: int, whole: int) -> Sequence[Return]:
    if not 0 < part <= whole:
        raise BadInput(f"a share is more than nothing and at most all, not {part}/{whole}")
    step = charge_step(of.currency)
    return [
        Return(index, half_up(line.gross * part, whole, step if line.gross % step == 0 else 1))
        for index, line in enumerate(of.lines)
    ]


# --- never more than was charged ----------------------------------------------------------------


def _refuse_too_much(
    conn: Connection,
    invoice: Invoice,
    payment: LockedPayment | None,
    total: Money,
    destination: Destination,
) -> None:
    """Refuse what is more than was invoiced and, where money goes back, than was captured."""
    if destination.is_money and payment is None:
        raise requesting.NotRefundable(
            f"invoice {invoice.number} was paid by credit: there is no money to give back",
            code=ErrorCode.NOTHING_CAPTURED,
            payment_id=None,
        )
    paid_by = None if payment is None else payment.id
    left = credit_notes.given_back(conn, invoice.id, paid_by).left
    if total > left:
        raise _too_high(invoice, total, left)
    if payment is None or not destination.is_money:
        return
    if destination is Destination.REFUND:
        refuse_recovering(payment)
    requesting.room_for(conn, payment, total)


def _too_high(invoice: Invoice, total: Money, left: Money) -> NotCreditable:
    return NotCreditable(
        f"of invoice {invoice.number} {left} can be given back, not {total}",
        where="credit notes, refunds and disputes so far are taken off",
        code=ErrorCode.CREDIT_NOTE_TOO_HIGH,
        invoice=invoice.number,
        left=left,
    )
