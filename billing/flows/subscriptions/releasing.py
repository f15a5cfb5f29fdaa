"""Releasing what an error had parked: a payment, or a subscription with its missed periods."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode
from billing.flows import fence
from billing.flows.cycles import holding
from billing.flows.cycles.deciding import CannotOpen, Opening, decide, unbilled_yet
from billing.flows.cycles.ending import is_over, is_unpaid
from billing.flows.cycles.opening import hold_catalog, write
from billing.flows.cycles.skipping import skip_missed
from billing.flows.policy import Policy
from billing.flows.subscriptions.lifecycle import locked
from billing.queries.subscriptions import find_subscription
from billing.rules.actor import Actor
from billing.rules.payments import AttemptKind, State
from billing.rules.subscriptions import (
    CycleKind,
    ParkedReason,
    SubscriptionEventKind,
    is_paused,
)
from billing.store.dispatch import NOT_HELD
from billing.store.payments import payments
from billing.store.subscriptions import changes, plans, subscriptions
from billing.store.subscriptions.parking import NOT_PARKED
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions

Missed = Literal["bill", "skip"]


@dataclass(frozen=True, slots=True)
class Released:
    """A released subscription, and how many of its missed periods were billed or skipped."""

    subscription_id: UUID
    missed: Missed | None
    periods: int


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What releasing a subscription will do.

    `begun` counts the periods without a cycle that have begun, `over` those that are wholly over;
    those that pass unbilled because of a pause are in neither. `ends_at` is the instant of a
    cancellation after which alone periods were missed: none of them is opened.
    """

    subscription_id: UUID
    missed: Missed | None
    ends_at: datetime | None
    over: int
    begun: int


def release_payment(engine: Transactions, payment_id: UUID, *, now: datetime) -> None:
    """Release a parked payment, with an attempt now. Raises `Conflict` when it isn't parked.

    An authorised payment is captured, if that was asked for, or else voided.
    """
    with marked(CrashPoint.PAYMENT_RELEASED), engine.begin() as conn:
        payment = payments.lock_known_payment(conn, payment_id)
        if payment.parked_at is None:
            raise Conflict(
                f"payment {payment_id} is not parked",
                code=ErrorCode.NOT_PARKED,
                payment_id=payment_id,
            )
        kind = AttemptKind.MANUAL
        if payment.state is State.AUTHORIZED:
            asked = payment.capture_amount is not None
            kind = AttemptKind.CAPTURE if asked else AttemptKind.VOID
        payments.change(
            conn,
            payment_id,
            now,
            **NOT_PARKED,
            next_attempt_at=now,
            next_attempt_kind=kind,
            dispatch_after=NOT_HELD,
        )


def release_subscription(
    engine: Transactions,
    reference: str,
    *,
    missed: Missed | None,
    now: datetime,
    actor: Actor,
    policy: Policy,
) -> Released:
    """Put a parked subscription back into scheduling; return how its missed periods were handled.

    `bill` opens every missed period now, billed, whatever the cap; `skip` opens them unbilled; None
    follows the catch-up policy. Periods that are paused pass unbilled. No period that starts after
    a requested end is opened. Raises `NotFound`, `Conflict`; `Unavailable` where the account is
    recovering and `missed` opens periods.
    """
    with marked(CrashPoint.SUBSCRIPTION_RELEASED), engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        if subscription.parked_at is None:
            raise Conflict(
                f"subscription {reference} is not parked",
                code=ErrorCode.NOT_PARKED,
                subscription=reference,
            )
        if missed is not None:
            _refuse_missed_after_the_end(subscription)
            fence.refuse_cycles_of(conn, subscription.customer_id, subscription.provider)
        subscriptions.change(conn, subscription.id, **NOT_PARKED)
        if missed == "skip":
            periods = skip_missed(conn, subscription, now)
        elif missed == "bill":
            periods = _bill_missed(conn, subscription, now, policy)
        else:
            periods = 0
        subscriptions.note(
            conn,
            subscription.id,
            at=now,
            kind=SubscriptionEventKind.RELEASED,
            actor=actor,
            missed=missed,
            periods=periods,
        )
        return Released(subscription.id, missed, periods)


def plan_release(
    conn: Connection, subscription_id: UUID, *, missed: Missed | None, now: datetime
) -> ReleasePlan:
    """Return what releasing a parked subscription will do. Raises `NotFound`, `Conflict`."""
    subscription = find_subscription(conn, str(subscription_id))
    if missed is not None:
        _refuse_missed_after_the_end(subscription)
    ends_at = subscription.cancels_at if is_over(subscription) else None
    over, begun = (0, 0) if ends_at else _missed_periods(conn, subscription, now)
    return ReleasePlan(subscription.id, missed, ends_at, over, begun)


def _missed_periods(conn: Connection, subscription: Subscription, now: datetime) -> tuple[int, int]:
    """Count the periods that are wholly over, and those that have begun, without a cycle.

    Both without those that are paused, or that a requested end comes before.
    """
    if subscription.renews_at is None or subscription.renews_at > now:
        return 0, 0
    asked = changes.of(conn, subscription.id)
    over = len(unbilled_yet(subscription, now, asked))
    ends_at = subscription.cancels_at
    if ends_at is not None and ends_at <= now:
        return over, over
    timetable = subscription.timetable
    running = timetable.nth(timetable.number_containing(now))
    runs_since = max(running.period.start, subscription.renews_at)
    return over, over if is_paused(asked, runs_since) else over + 1


def _refuse_missed_after_the_end(subscription: Subscription) -> None:
    """Raise `Conflict` where the missed periods come after the subscription's requested end."""
    if is_over(subscription):
        raise Conflict(
            f"subscription {subscription.id} was to end at"
            f" {subscription.cancels_at:%Y-%m-%d %H:%M} UTC: no period was missed after that",
            code=ErrorCode.NO_PERIOD_MISSED,
            subscription_id=subscription.id,
        )


def _bill_missed(
    conn: Connection, subscription: Subscription, now: datetime, policy: Policy
) -> int:
    """Open every period of a locked subscription that has begun; return how many are billed."""
    hold_catalog(conn, now, policy)
    catalog, asked = plans.published(conn), changes.of(conn, subscription.id)
    billed = 0
    while _is_due(subscription, now) and not is_unpaid(subscription, asked):
        try:
            held = holding.of(conn, subscription, now, policy)
            opening = decide(subscription, catalog, now, policy, asked, held=held, bill_missed=True)
        except CannotOpen as error:
            raise Conflict(
                f"cycle {subscription.next_n} can't be opened yet: {error}",
                code=ErrorCode.CYCLE_NOT_OPENABLE,
                reason=error.reason,
                **error.facts,
            ) from error
        _write(conn, opening, now)
        billed += opening.kind is CycleKind.REGULAR
        subscription = locked(conn, subscription.id)
    return billed


def _is_due(subscription: Subscription, now: datetime) -> bool:
    at = subscription.renews_at
    return at is not None and at <= now and not is_over(subscription)


def _write(conn: Connection, opening: Opening, now: datetime) -> None:
    """Write one opening. Raises `Conflict` where the database refuses it."""
    try:
        with conn.begin_nested():
            write(conn, [opening], now)
    except IntegrityError as error:
        raise Conflict(
            f"cycle {opening.scheduled.n} was refused by the database: {error.orig}",
            code=ErrorCode.CYCLE_NOT_OPENABLE,
            reason=ParkedReason.REFUSED_BY_DATABASE,
        ) from error
