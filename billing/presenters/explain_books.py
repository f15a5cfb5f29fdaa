"""Sentences about what was given back, earned and posted, and what holds a cycle open."""

from collections.abc import Iterator, Sequence

from billing.presenters import break_causes
from billing.presenters.credit_notes import WHERE
from billing.presenters.text import at
from billing.queries.explain.books import (
    CycleFacts,
    EntryFacts,
    HoldFacts,
    HoldKind,
    LegFacts,
    LineRevenue,
    RevenueFacts,
)
from billing.queries.explain.money_back import MoneyBackFacts, NoteFacts, RefundFacts
from billing.rules.payments import AttemptOutcome
from billing.rules.refunds import RefundState


def money_back(facts: MoneyBackFacts) -> Iterator[str]:
    """Tell of credit notes, refunds and disputes."""
    for note in facts.notes:
        yield (
            f"Credit note {note.number} gives {note.amount} back {WHERE[note.destination]}, issued"
            f" on {at(note.issued_at)} by {note.actor} ({note.reason}){_as_credit(note)}."
        )
    for refund in facts.refunds:
        problem = _problem_of(refund)
        detail = f" ({problem})" if problem else ""
        yield (
            f"Refund {refund.id} of {refund.amount}, asked for on {at(refund.created_at)} by"
            f" {refund.requested_by} ({refund.reason}), is {refund.state}{detail}."
        )
    for dispute in facts.disputes:
        kind = "Inquiry" if dispute.is_inquiry else "Dispute"
        yield (
            f"{kind} {dispute.id} ({dispute.provider_dispute_id}) about {dispute.amount}, opened"
            f" on {at(dispute.opened_at)} ({dispute.reason}), is {dispute.state}."
        )


def _as_credit(note: NoteFacts) -> str:
    failed = note.refund_state in (RefundState.FAILED, RefundState.CANCELED)
    return f"; refund {note.refund_id} of it failed, and it is credit now" if failed else ""


def _problem_of(refund: RefundFacts) -> str | None:
    if refund.failure_reason is None and refund.last_outcome is AttemptOutcome.ABSENT:
        return "the provider's lists prove that nothing was refunded: it is sent anew"
    return refund.failure_reason or refund.last_error


def revenue(facts: RevenueFacts) -> Iterator[str]:
    """Tell how much of an invoice was earned, and when it earns next."""
    upto = f" up to {at(facts.up_to)}" if facts.up_to else ""
    yield f"{facts.earned} of {facts.net} were earned{upto}."
    if facts.ended_as is not None:
        yield f"It earns no more: it is {facts.ended_as}."
    elif facts.left is not None and facts.next_at is not None:
        yield f"{facts.left} are still to be earned, the next on {at(facts.next_at)}."
    if len(facts.lines) > 1:
        yield from map(_line_revenue, facts.lines)


def _line_revenue(facts: LineRevenue) -> str:
    left = f", {facts.left} still to be" if facts.left.amount else ""
    served = facts.service
    service = "earned at once" if served is None else f"{at(served.start)} to {at(served.end)}"
    earned = f"{facts.earned} of {facts.net} earned{left}"
    return f"Line {facts.line} ({facts.description}): {earned}; {service}."


def journal(entries: Sequence[EntryFacts]) -> Iterator[str]:
    """Tell each journal entry with its debits and credits."""
    if not entries:
        yield "Nothing was posted: no money was owed or moved."
    for entry in entries:
        legs = ", ".join(_leg(leg) for leg in entry.legs)
        late = ", after closing" if entry.late else ""
        yield f"Entry {entry.id}, {entry.kind}, {at(entry.effective_at)}{late}: {legs}."


def _leg(leg: LegFacts) -> str:
    side = "debit" if leg.money.amount > 0 else "credit"
    return f"{side} {leg.account} {abs(leg.money)}"


def cycle(facts: CycleFacts) -> Iterator[str]:
    """Tell when a cycle was opened and closed, or what holds it open."""
    yield f"Cycle {facts.n} was opened on {at(facts.opened_at)}."
    if facts.closed_at is not None:
        assert facts.digest is not None
        yield f"It was closed on {at(facts.closed_at)} with digest {facts.digest[:12]}..."
    elif facts.held_by:
        yield from (f"It is held open {_hold(hold)}" for hold in facts.held_by)
    else:
        yield "Nothing holds it open: the reconciler closes it with its next run."


def _hold(hold: HoldFacts) -> str:
    match hold.kind:
        case HoldKind.NOT_PAID:
            return "by its invoice, which is not paid."
        case HoldKind.NOT_CONFIRMED:
            return "until the provider's list of charges confirms the capture."
        case HoldKind.NOT_SETTLED:
            return "until the provider's settlement of the capture was matched."
        case HoldKind.ATTEMPT_OPEN:
            return "by an attempt whose outcome isn't known yet."
        case HoldKind.PERIOD_NOT_OVER:
            assert hold.until is not None
            return (
                f"until its period ends, {at(hold.until)}: until then a new payment method can"
                " still pay for it."
            )
        case HoldKind.BREAK:
            assert hold.found is not None
            cause = break_causes.in_words(hold.found.suggested_cause)
            return f"by break {hold.found.id} ({hold.found.kind}): {cause}."
