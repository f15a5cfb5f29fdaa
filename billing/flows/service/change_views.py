"""A change of a subscription as callers of the API and people see it, with the exact invoice."""

from uuid import UUID

from billing.flows.service.views import View, plain
from billing.flows.subscriptions.change_invoices import QuotedNote
from billing.flows.subscriptions.change_quotes import ChangeQuote
from billing.pricing import DraftLine, InvoiceDraft


def quoted(quote: ChangeQuote, change_id: UUID | None = None) -> View:
    """Return what a change does, or did: from when, what is held, and what is invoiced.

    Where it holds from a later period on, the invoice is that period's as it would be today.
    """
    return {
        "id": plain(change_id),
        "subscription_id": plain(quote.subscription_id),
        "applies": str(quote.applies),
        "holds_from": plain(quote.holds_from),
        "before": quote.before.document(),
        "after": quote.after.document(),
        "periods": None if quote.terms.moved is None else quote.terms.moved.document(),
        "invoice": None if quote.draft is None else _invoice(quote.draft),
        "notes": [_note(note) for note in quote.notes],
        "coupon": quote.coupon,
        "digest": quote.digest,
    }


def _invoice(draft: InvoiceDraft) -> View:
    return {
        "currency": draft.currency,
        "lines": [_line(line) for line in draft.lines],
        "discount": draft.discount,
        "net": draft.net,
        "tax": draft.tax,
        "total": draft.total,
        "credit": draft.total - draft.due,
        "due": draft.due,
    }


def _note(quoted_note: QuotedNote) -> View:
    of, note = quoted_note.drafted.invoice, quoted_note.drafted.note
    return {
        "invoice": of.number,
        "destination": str(quoted_note.drafted.destination),
        "currency": note.currency,
        "discount": note.discount,
        "net": note.net,
        "tax": note.tax,
        "total": note.total,
    }


def _line(line: DraftLine) -> View:
    return {
        "item": line.item,
        "description": line.description,
        "quantity": plain(line.quantity),
        "gross": line.gross,
        "discount": line.discount,
        "amount": line.net,
        "tax": line.tax,
    }
