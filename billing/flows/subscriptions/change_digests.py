"""The digest of all that a quoted change follows from: when it has moved, so has the quote."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from billing.flows.subscriptions.change_invoices import QuotedNote
from billing.flows.subscriptions.changed_terms import ChangedTerms
from billing.pricing import Charge, Credit, Facts
from billing.rules.item_changes import Applies
from billing.rules.periods import Period, to_local
from billing.store.subscriptions.cycles import Cycle
from billing.store.subscriptions.subscriptions import Subscription


def digest_of(
    subscription: Subscription,
    terms: ChangedTerms,
    applies: Applies,
    facts: Facts | None,
    cycle: Cycle | None,
    notes: Sequence[QuotedNote],
) -> str:
    """Return the digest of all that a change follows from.

    What holds now costs as much all day long: the day counts, and not the instant.
    """
    at, day = terms.change.holds_from, None
    facts = None if facts is None else _without_redemptions(facts)
    if cycle is not None:
        day = to_local(at, subscription.zone).date().isoformat()
        facts = None if facts is None else _of_period(facts, cycle)
    document = {
        "subscription": str(subscription.id),
        "applies": str(applies),
        "from": day or at.isoformat(),
        "before": terms.before.document(),
        "after": terms.after.document(),
        "change": terms.change.detail(),
        "terms": terms.version.digest(),
        "periods": _periods(terms),
        "facts": None if facts is None else replace(facts, decision=None).document(),
        "notes": [
            [
                str(note.drafted.invoice.id),
                str(note.drafted.destination),
                [[each.line, each.gross] for each in note.asked.lines],
            ]
            for note in notes
        ],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def digest_with_coupon(digest: str, coupon: str) -> str:
    """Return the digest of a change that redeems a coupon, too: it may cost the same without."""
    return hashlib.sha256(f"{digest} {coupon}".encode("ascii")).hexdigest()


def _periods(terms: ChangedTerms) -> list[Mapping[str, Any]]:
    if terms.moved is None:
        return []
    if terms.change.cuts is not None:
        return [terms.moved.document() | {"starts_at": None}]
    return [each.document() for each in terms.to_come]


def _without_redemptions(facts: Facts) -> Facts:
    """Return facts whose discounts tell no redemption: that of the change isn't made yet."""
    discounts = (replace(each, redemption=UUID(int=k)) for k, each in enumerate(facts.discounts))
    return replace(facts, discounts=tuple(discounts))


def _of_period(facts: Facts, cycle: Cycle) -> Facts:
    period = Period(cycle.period_start, cycle.period_end)

    def with_period(charge: Charge) -> Charge:
        return replace(charge, period=period)

    # The grants of notes have ids that follow from the change's, which a quote hasn't yet.
    credit = tuple(Credit(UUID(int=k), each.left) for k, each in enumerate(facts.credit))
    charges = tuple(with_period(each) for each in facts.charges)
    return replace(facts, charges=charges, credit=credit)
