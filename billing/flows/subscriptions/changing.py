"""Changing what a subscription holds and when its periods begin, now or from its next one on.

A change is a dated row. What holds when a period starts follows from the rows, whenever it is
opened. Locks are taken payments first, then their subscription, as everywhere.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import Conflict, ErrorCode, NotFound
from billing.flows import fence
from billing.flows.cycles import held_terms, issuing, metering
from billing.flows.cycles.earning import earned_first_at
from billing.flows.cycles.issuing import InSeries, Issued
from billing.flows.cycles.opening import hold_catalog
from billing.flows.policy import Policy
from billing.flows.subscriptions import change_cuts, schedules
from billing.flows.subscriptions.change_invoices import issue_notes, lock_payments
from billing.flows.subscriptions.change_quotes import ChangeQuote, quote_again, quote_of
from billing.flows.subscriptions.changed_terms import ChangeOrder
from billing.flows.subscriptions.lifecycle import locked
from billing.ids import derived_id, new_id
from billing.queries.subscriptions import find_subscription
from billing.rules import invoices as invoice_rules
from billing.rules.actor import RECONCILER
from billing.rules.item_changes import (
    Applies,
    ChangeAsked,
    ItemChange,
    days_without,
    scheduled,
)
from billing.rules.subscriptions import DatedChangeKind, SubscriptionEventKind
from billing.store.payments import invoices
from billing.store.subscriptions import cycles, item_changes, plans, segments, subscriptions
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.transactions import Transactions


def quote(
    conn: Connection, reference: str, order: ChangeOrder, *, now: datetime, policy: Policy
) -> ChangeQuote:
    """Return what a change will do, in the caller's transaction. Raises as `change`."""
    found = find_subscription(conn, reference)
    undecided = lock_payments(conn, found.id)
    subscription = locked(conn, found.id)
    unmade = conn.begin_nested()  # its coupon is redeemed to see what that takes off
    try:
        return quote_of(
            conn,
            subscription,
            undecided,
            order,
            change_id=new_id(),
            now=now,
            policy=policy,
            actor=RECONCILER,
        )
    finally:
        unmade.rollback()


def change(
    engine: Transactions,
    reference: str,
    order: ChangeOrder,
    *,
    change_id: UUID,
    now: datetime,
    asked: ChangeAsked,
    policy: Policy,
    digest: str | None = None,
) -> ChangeQuote:
    """Change what a subscription holds, and return what was done.

    Where it holds now and costs more, the rest of the period is invoiced and paid at once. With the
    `digest` of a quote nothing else is done than what it says. Raises `NotFound`, `BadInput`;
    `Conflict` where the subscription can't be changed so, or the quote has moved; `Unavailable`.
    """
    with marked(CrashPoint.SUBSCRIPTION_CHANGED), engine.begin() as conn:
        hold_catalog(conn, now, policy)
        found = find_subscription(conn, reference)
        undecided = lock_payments(conn, found.id)
        subscription = locked(conn, found.id)
        _refuse_known(conn, subscription, change_id)
        quoted = quote_of(
            conn,
            subscription,
            undecided,
            order,
            change_id=change_id,
            now=now,
            policy=policy,
            actor=asked.actor,
        )
        if digest is not None and digest != quoted.digest:
            raise Conflict(
                f"the quote of subscription {subscription.id} has moved",
                code=ErrorCode.QUOTE_MOVED,
                subscription_id=subscription.id,
                digest=quoted.digest,
            )
        opens = quoted.draft is not None or quoted.cut is not None
        if quoted.applies is Applies.NOW and opens:
            fence.refuse_cycles_of(conn, subscription.customer_id, subscription.provider)
        _write(conn, subscription, quoted, asked, policy)
        return quoted


def make_again(
    conn: Connection,
    subscription: Subscription,
    order: ChangeOrder,
    *,
    change_id: UUID,
    at: datetime,
    policy: Policy,
    number: str | None,
) -> None:
    """Make a change of a (locked) subscription as it was made at an instant, by its charge.

    `number` is the one that its invoice had. Raises: BadInput, Conflict, NotFound.
    """
    _refuse_known(conn, subscription, change_id)
    quoted = quote_again(conn, subscription, order, change_id=change_id, at=at, policy=policy)
    asked = ChangeAsked(at, RECONCILER, "made again from its charge by a recovery")
    _write(conn, subscription, quoted, asked, policy, had=number)


def _refuse_known(conn: Connection, subscription: Subscription, change_id: UUID) -> None:
    known = item_changes.of(conn, subscription.id)
    if any(each.change_id == change_id for each in known):
        raise Conflict(
            f"change {change_id} of subscription {subscription.id} was made before",
            code=ErrorCode.CHANGE_ID_TAKEN,
            change_id=change_id,
        )


def _write(
    conn: Connection,
    subscription: Subscription,
    quoted: ChangeQuote,
    asked: ChangeAsked,
    policy: Policy,
    had: str | None = None,
) -> None:
    terms = quoted.terms
    if not item_changes.of(conn, subscription.id):
        item_changes.add(conn, subscription.id, terms.asked[0], asked)
    item_changes.add(conn, subscription.id, terms.change, asked)
    if terms.moved is not None and quoted.cut is None:
        segments.plan(conn, subscription.id, terms.to_come)
    kind = SubscriptionEventKind.CHANGE_SCHEDULED
    if quoted.applies is Applies.NOW:
        kind = SubscriptionEventKind.CHANGED
        why = f"change of the subscription: {asked.why}"
        issue_notes(conn, quoted.notes, why, asked.actor, asked.at)
        if quoted.cut is None:
            changed = held_terms.with_plan(subscription, terms.after)
            held_terms.write(conn, changed, terms.after, terms.version)
            if terms.counts_usage:
                metering.begin(conn, subscription, quoted.n, policy)
            _issue(conn, subscription, quoted, asked, policy, had)
        else:
            change_cuts.write(conn, subscription, terms, quoted.cut)
    subscriptions.note(
        conn,
        subscription.id,
        at=asked.at,
        kind=kind,
        actor=asked.actor,
        change_id=terms.change.change_id,
        holds_from=quoted.holds_from,
        before=terms.before.document(),
        after=terms.after.document(),
        why=asked.why,
        **({} if terms.moved is None else {"periods": terms.moved.document()}),
    )
    if quoted.coupon is not None:
        subscriptions.note(
            conn,
            subscription.id,
            at=asked.at,
            kind=SubscriptionEventKind.COUPON_REDEEMED,
            actor=asked.actor,
            coupon=quoted.coupon,
            why=asked.why,
        )


def _issue(
    conn: Connection,
    subscription: Subscription,
    quoted: ChangeQuote,
    asked: ChangeAsked,
    policy: Policy,
    had: str | None,
) -> None:
    if quoted.facts is None or quoted.draft is None:
        return
    change_id = quoted.terms.change.change_id
    assert change_id is not None, "it is to be written"
    issued = Issued(
        invoice_id=derived_id("change_invoice", change_id, 0, quoted.holds_from),
        payment_id=derived_id("change_payment", change_id, 0, quoted.holds_from),
        cycle_id=None,
        subscription_id=subscription.id,
        customer_id=subscription.customer_id,
        number=_number(conn, subscription, quoted.n, policy, had),
        facts=quoted.facts,
        draft=quoted.draft,
        recognise_at=earned_first_at(quoted.draft, subscription.zone, asked.at, policy.recognise),
        change_id=change_id,
        decision=quoted.decision,
    )
    issuing.issue(conn, [issued], asked.at)


def _number(
    conn: Connection, subscription: Subscription, n: int, policy: Policy, had: str | None
) -> str | InSeries:
    """Return the number of an invoice of a change in the n-th period: the one that it `had`."""
    if policy.series_of_subscriptions is not None:
        return InSeries(policy.series_of_subscriptions)
    cycle_number = invoice_rules.number(subscription.invoice_prefix, n)
    if had is not None and invoice_rules.is_of_change(had, cycle_number):
        return had
    k = invoices.last_of_changes(conn, subscription.id, cycle_number) + 1
    return invoice_rules.number_of_change(cycle_number, k)


def withdraw(
    engine: Transactions,
    reference: str,
    withdrawn: UUID,
    *,
    withdrawal_id: UUID,
    asked: ChangeAsked,
) -> Subscription:
    """Take a change back that doesn't hold yet; return the subscription.

    Raises `NotFound`; `Conflict` where the change holds already, or another one rests on it.
    """
    with marked(CrashPoint.CHANGE_WITHDRAWN), engine.begin() as conn:
        subscription = locked(conn, find_subscription(conn, reference).id)
        known = item_changes.of(conn, subscription.id)
        if all(each.change_id != withdrawn or each.applies is None for each in known):
            raise NotFound(
                f"subscription {subscription.id} has no change {withdrawn}",
                where="change",
                code=ErrorCode.CHANGE_NOT_FOUND,
                change_id=withdrawn,
            )
        if not _is_to_come(conn, subscription, known, withdrawn, asked.at):
            raise Conflict(
                f"change {withdrawn} holds already, or was withdrawn",
                code=ErrorCode.CHANGE_HOLDS,
                change_id=withdrawn,
            )
        _refuse_rested_on(conn, subscription, known, withdrawn, asked.at)
        back = ItemChange(
            kind=DatedChangeKind.WITHDRAW,
            holds_from=asked.at,
            change_id=withdrawal_id,
            withdraws=withdrawn,
        )
        item_changes.add(conn, subscription.id, back, asked)
        _plan_without(conn, subscription, [*known, back])
        subscriptions.note(
            conn,
            subscription.id,
            at=asked.at,
            kind=SubscriptionEventKind.CHANGE_WITHDRAWN,
            actor=asked.actor,
            change_id=withdrawn,
            why=asked.why,
        )
        return subscription


def _is_to_come(
    conn: Connection,
    subscription: Subscription,
    known: Sequence[ItemChange],
    change_id: UUID,
    now: datetime,
) -> bool:
    """Tell whether a change doesn't hold yet, whoever's clock is behind: no period has it."""
    coming = [each for each in scheduled(known, now) if each.change_id == change_id]
    last = cycles.last(conn, subscription.id)
    return any(last is None or last.period_start < each.holds_from for each in coming)


def _refuse_rested_on(
    conn: Connection,
    subscription: Subscription,
    known: Sequence[ItemChange],
    withdrawn: UUID,
    now: datetime,
) -> None:
    """Refuse to withdraw a change of plan that made a billing day possible. Raises: Conflict."""
    catalog = plans.published(conn)
    for change, held in days_without(known, withdrawn, now):
        versions = {each.effective: each for each in catalog[held.plan].versions}
        if not schedules.takes_billing_day(versions[held.version]):
            raise Conflict(
                f"change {change.change_id} asks for a billing day, which plan {held.plan} doesn't"
                " leave open",
                code=ErrorCode.CHANGE_RESTED_ON,
                subscription_id=subscription.id,
                change_id=change.change_id,
            )


def _plan_without(
    conn: Connection, subscription: Subscription, known: Sequence[ItemChange]
) -> None:
    """Plan the segments that are to come without a change that was withdrawn."""
    last_start = schedules.last_billed_start(conn, subscription)
    segments.plan(conn, subscription.id, schedules.to_come(subscription, known, last_start))
