"""A subscription's timeline in lines: what happened in words, and the ids that it is about."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from billing.presenters import credit, credit_notes, decisions, history
from billing.queries.timeline import TimelineEntry
from billing.queries.timeline_facts import (
    AttemptFinished,
    AttemptSent,
    CreditMoved,
    CreditNoteIssued,
    CycleClosed,
    CycleOpened,
    DisputeClosed,
    DisputeOpened,
    Fact,
    InvoiceIssued,
    PaymentMoved,
    RefundFinished,
    RefundRequested,
    SubscriptionNoted,
)
from billing.rules.credit import MoveKind
from billing.rules.payment_methods import recognised_by

COLUMNS: Final = ("at", "kind", "what", "actor")


def line(entry: TimelineEntry) -> dict[str, Any]:
    """Return one line: when, what kind, in words, who did it, and links."""
    return {
        "at": entry.at,
        "kind": str(entry.kind),
        "what": _words(entry.fact),
        "actor": entry.actor,
        **_links(entry.fact),
    }


def _words(fact: Fact) -> str:  # noqa: C901  one case a kind
    match fact:
        case CycleOpened():
            period = f"{fact.period_start:%Y-%m-%d} to {fact.period_end:%Y-%m-%d}"
            return f"cycle {fact.n} ({fact.kind}), {period}, terms of {fact.plan_version}"
        case CycleClosed():
            return f"cycle {fact.n}"
        case InvoiceIssued():
            return f"invoice {fact.number}, {fact.total}"
        case AttemptSent():
            card = recognised_by(fact.method_kind, fact.brand, fact.last4)
            return f"attempt {fact.n} ({fact.kind}), {fact.amount}, {card}"
        case AttemptFinished():
            code = f" ({fact.decline_code})" if fact.decline_code else ""
            decision = decisions.in_words(fact.decision, fact.decision_facts)
            told = f": {decision}" if decision and fact.outcome != "succeeded" else ""
            return f"attempt {fact.n} {fact.outcome}{code}{told}"
        case PaymentMoved():
            return f"payment {fact.from_state} -> {fact.to_state} ({fact.cause})"
        case RefundRequested():
            return f"refund of {fact.amount}: {fact.reason}"
        case RefundFinished():
            why = f": {fact.failure_reason}" if fact.failure_reason else ""
            return f"refund of {fact.amount} {fact.state}{why}"
        case DisputeOpened():
            return f"dispute of {fact.amount}: {fact.reason}"
        case DisputeClosed():
            return f"dispute of {fact.amount} {fact.state}"
        case CreditMoved():
            return _of_credit(fact)
        case CreditNoteIssued():
            where = credit_notes.WHERE[fact.destination]
            return f"credit note {fact.number}, {fact.amount} {where}: {fact.reason}"
        case SubscriptionNoted():
            return history.in_words(fact.kind, fact.words, fact.facts)
    assert_never(fact)


def _of_credit(fact: CreditMoved) -> str:
    named = f"{fact.amount} of credit ({credit.SOURCES[fact.source]})"
    match fact.kind:
        case MoveKind.GRANTED:
            return f"{named} granted: {fact.reason}"
        case MoveKind.APPLIED:
            return f"{named} pays invoice {fact.invoice}"
        case MoveKind.RETURNED:
            return f"{named} is back from invoice {fact.invoice}"
        case MoveKind.EXPIRED:
            return f"{named} expired"
        case MoveKind.REFUNDED:
            return f"{named} went with the money it was bought with"
        case MoveKind.RESTORED:
            return f"{named} is back: the money stayed"
    assert_never(fact.kind)


def _links(fact: Fact) -> Mapping[str, Any]:  # noqa: C901  one case a kind
    match fact:
        case CycleOpened() | CycleClosed():
            return {"n": fact.n}
        case InvoiceIssued():
            return {"n": fact.n, "invoice": fact.number}
        case AttemptSent() | AttemptFinished():
            return {"payment_id": fact.payment_id, "attempt": fact.n}
        case PaymentMoved():
            return {"payment_id": fact.payment_id}
        case RefundRequested() | RefundFinished():
            return {"payment_id": fact.payment_id, "refund_id": fact.refund_id}
        case DisputeOpened() | DisputeClosed():
            return {"payment_id": fact.payment_id, "dispute_id": fact.dispute_id}
        case CreditMoved():
            invoice = {} if fact.invoice is None else {"invoice": fact.invoice}
            return {"grant_id": fact.grant_id, **invoice}
        case CreditNoteIssued():
            return {"invoice": fact.invoice, "credit_note": fact.number}
        case SubscriptionNoted():
            return {}
