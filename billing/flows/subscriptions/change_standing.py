"""Whether a subscription can be changed, and when a change holds, by how it stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from billing.errors import Conflict, ErrorCode
from billing.flows.subscriptions.changed_terms import ChangedTerms, ChangeOrder
from billing.plans.terms import Plan
from billing.rules.change_states import ChangeStanding, PriceMove, standing, state_after
from billing.rules.item_changes import Applies
from billing.store.payments.payments import LockedPayment
from billing.store.subscriptions.subscriptions import Subscription

_REFUSALS: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.SUBSCRIPTION_ENDED: "has ended",
    ErrorCode.CHANGE_UNPAID: "is unpaid",
    ErrorCode.CHANGE_PAYMENT_UNDER_WAY: "has a payment that is being made",
    ErrorCode.CHANGE_PAST_DUE: "is past due: it pays what it owes before it pays more",
    ErrorCode.CHANGE_ENDING: "was canceled for its period's end",
    ErrorCode.CHANGE_PERIOD_NOT_OPENED: "has a period that began and isn't opened yet",
}


def standing_of(
    subscription: Subscription, undecided: Sequence[LockedPayment], now: datetime
) -> ChangeStanding:
    """Return how a subscription stands; `undecided` are its payments that are being made."""
    if subscription.has_ended(now):
        return ChangeStanding.CANCELED
    ends = subscription.cancels_at is not None
    return standing(subscription.status, ends=ends, being_paid=bool(undecided))


def refuse_ended(subscription: Subscription, stands: ChangeStanding) -> None:
    """Refuse what no change can be made of, before its terms are looked at. Raises: Conflict."""
    if stands is ChangeStanding.CANCELED:
        raise _refusal(subscription, ErrorCode.SUBSCRIPTION_ENDED)
    if stands is ChangeStanding.UNPAID:
        raise _refusal(subscription, ErrorCode.CHANGE_UNPAID)


def _refusal(subscription: Subscription, code: ErrorCode) -> Conflict:
    return Conflict(
        f"subscription {subscription.id} {_REFUSALS[code]}",
        code=code,
        subscription_id=subscription.id,
    )


def applies_when(
    subscription: Subscription,
    terms: ChangedTerms,
    stands: ChangeStanding,
    order: ChangeOrder,
    catalog: Mapping[str, Plan],
    now: datetime,
) -> Applies:
    """Return when a change holds: as it asks, or its plan says, where that can be.

    Raises: Conflict.
    """
    move = terms.move(subscription.currency)
    policy = catalog[subscription.plan].change
    by_plan = Applies(policy.up if move.costs_more else policy.down)
    if move is PriceMove.SCHEDULE:
        by_plan = Applies.PERIOD_END
    verdict = state_after(stands, move, order.applies or by_plan)
    if verdict.refused is not None:
        raise _refusal(subscription, verdict.refused)
    assert verdict.applies is not None, "it isn't refused"
    if verdict.applies is Applies.NOW and subscription.renews_at is not None:
        if subscription.renews_at == now:
            return Applies.PERIOD_END
        if subscription.renews_at < now:
            raise _refusal(subscription, ErrorCode.CHANGE_PERIOD_NOT_OPENED)
    return verdict.applies
