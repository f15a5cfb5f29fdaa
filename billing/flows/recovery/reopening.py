"""Opening the cycles that were charged, and making the changes again that were, as it was then.

All in the caller's transaction: where a payment has no place, nothing is opened for it. An invoice
is issued as of the instant at which it was issued the first time, so it is paid by the credit that
could be used then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from billing.errors import BadInput, Conflict, NotFound
from billing.flows.cycles import holding
from billing.flows.cycles.deciding import CannotOpen, Opening, decide
from billing.flows.cycles.ending import is_over
from billing.flows.cycles.opening import write
from billing.flows.policy import Policy
from billing.flows.recovery.finding import AdoptionResult, Done, Forgotten, Why
from billing.flows.subscriptions import changing
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.flows.subscriptions.lifecycle import locked
from billing.plans.terms import Plan
from billing.rules.item_changes import Applies
from billing.rules.subscriptions import DatedChange, Status
from billing.store.payments import payments
from billing.store.subscriptions import changes, cycles, plans, subscriptions
from billing.store.subscriptions.subscriptions import Subscription

_NO_SUBSCRIPTION: Done = (AdoptionResult.PASSED_OVER, Why.SUBSCRIPTION_UNKNOWN)
_NO_CYCLE: Done = (AdoptionResult.PASSED_OVER, Why.NO_CYCLE)
_OTHER_CHANGE: Done = (AdoptionResult.PASSED_OVER, Why.OTHER_CHANGE)


@dataclass(frozen=True, slots=True)
class Reopening:
    """What decides how a cycle was opened.

    `charged` are the payments that are adopted, with when their invoices were issued.
    """

    policy: Policy
    charged: Mapping[UUID, datetime]
    now: datetime


@dataclass(frozen=True, slots=True)
class _ReopeningTerms:
    catalog: Mapping[str, Plan]
    asked: Sequence[DatedChange]


# --- cycles -------------------------------------------------------------------------------------


def open_cycle(
    conn: Connection, owner: UUID, found: Forgotten, reopening: Reopening
) -> Done | None:
    """Open a subscription's cycles up to the one of this payment; return why that can't be.

    Where it can't be, none is opened.
    """
    before = subscription = subscriptions.lock(conn, owner)
    if before is None or subscription is None:
        return _NO_SUBSCRIPTION
    terms = _terms(conn, owner)
    with conn.begin_nested() as all_of_them:
        while _has_next(subscription, reopening.now):
            try:
                opened = _open_next(conn, subscription, terms, reopening)
            except CannotOpen:
                all_of_them.rollback()
                return AdoptionResult.HELD, Why.CANNOT_OPEN
            if opened.payment_id == found.ours:
                if payments.get(conn, found.ours) is not None:
                    return None
                break  # it passes unbilled by what is asked for here
            subscription = locked(conn, owner)
        all_of_them.rollback()
    return _why_not_opened(conn, before, subscription, found)


def _terms(conn: Connection, owner: UUID) -> _ReopeningTerms:
    plans.hold(conn)
    return _ReopeningTerms(plans.published(conn), changes.of(conn, owner))


def _has_next(subscription: Subscription, until: datetime) -> bool:
    at = subscription.renews_at
    return at is not None and at <= until and not is_over(subscription)


def _open_next(
    conn: Connection, subscription: Subscription, terms: _ReopeningTerms, reopening: Reopening
) -> Opening:
    """Open the next cycle, as it was: billed where its payment was charged.

    One that was never charged, before one that was, isn't charged any more: it is skipped. When it
    was opened isn't known: it is dated as if it had been when it was due. Raises `CannotOpen`.
    """
    assert subscription.renews_at is not None, "it has a next period"
    now = reopening.now
    at = max(subscription.renews_at, subscription.created_at)
    batch = holding.read(conn, [subscription], reopening.policy, at)
    opened = partial(decide, subscription, terms.catalog, now, reopening.policy, terms.asked)
    opening = unbilled = opened(held=batch.of(subscription, at), unbilled=True)
    issued = reopening.charged.get(unbilled.payment_id)
    if issued is not None:
        at = min(issued, now)
        opening = opened(held=batch.of(subscription, at), bill_missed=True)
    else:
        try:
            opening = opened(held=batch.of(subscription, at))
        except CannotOpen:
            opening = unbilled
        if opening.draft is not None and opening.draft.due > 0:
            opening = unbilled
    write(conn, [opening], at)
    return opening


def _why_not_opened(
    conn: Connection, before: Subscription, last: Subscription, found: Forgotten
) -> Done:
    """Return why a payment has no cycle, and whether its period might still be opened.

    `before` is the subscription as it is, `last` as it would be with all that can be opened.
    """
    starts = found.period_start
    opened_until = before.renews_at or cycles.last_end(conn, before.id)
    might_open = (
        starts is not None
        and (opened_until is None or starts >= opened_until)
        and before.status is not Status.CANCELED
        and not is_over(last)
    )
    if not might_open:
        return _NO_CYCLE
    if before.status is Status.UNPAID:
        return AdoptionResult.HELD, Why.UNPAID
    if last.renews_at == starts:
        return _NO_CYCLE
    return AdoptionResult.HELD, Why.OTHER_PERIODS


# --- changes ------------------------------------------------------------------------------------


def make_change(
    conn: Connection, owner: UUID, found: Forgotten, reopening: Reopening
) -> Done | None:
    """Make the change of this payment again, as of its instant; return why that can't be.

    The cycles up to its period are opened first. Nothing charges by itself for a change that isn't
    here, so one that comes to something else here holds nothing up.
    """
    subscription = subscriptions.lock(conn, owner)
    if subscription is None:
        return _NO_SUBSCRIPTION
    if subscription.status is Status.CANCELED:
        return _NO_CYCLE
    terms = _terms(conn, owner)
    with conn.begin_nested() as all_of_it:
        try:
            while _has_next(subscription, found.issued_at):
                _open_next(conn, subscription, terms, reopening)
                subscription = locked(conn, owner)
            unmade = _change(conn, subscription, found, reopening)
        except CannotOpen:
            unmade = (AdoptionResult.HELD, Why.CANNOT_OPEN)
        except (BadInput, NotFound):
            unmade = (AdoptionResult.HELD, Why.CANNOT_CHANGE)
        except Conflict:
            unmade = _OTHER_CHANGE
        if unmade is not None:
            all_of_it.rollback()
    return unmade


def _change(
    conn: Connection, subscription: Subscription, found: Forgotten, reopening: Reopening
) -> Done | None:
    """Make the change where its period is open. Raises: BadInput, NotFound, Conflict."""
    at, made = min(found.issued_at, reopening.now), found.change
    assert made is not None, "it is a charge of a change"
    cycle = cycles.last(conn, subscription.id)
    if cycle is None or not cycle.period_start <= at < cycle.period_end:
        return _NO_CYCLE
    changing.make_again(
        conn,
        subscription,
        ChangeOrder(
            plan=made.plan,
            items=made.items,
            applies=Applies.NOW,
            billing_day=made.billing_day,
            zone=made.zone,
        ),
        change_id=made.change_id,
        at=at,
        policy=reopening.policy,
        number=found.newest.metadata.get("invoice"),
    )
    return None if payments.get(conn, found.ours) is not None else _OTHER_CHANGE
