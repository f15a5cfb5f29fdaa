"""Opening due cycles: for each subscription whose next period has begun, one cycle.

    lock due rows (SKIP LOCKED)  ->  decide in pure code  ->  write all in a few statements

A batch is one transaction. An error in one subscription parks that subscription, with the error,
and the other subscriptions of the batch are billed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError, ErrorCode, Unavailable
from billing.flows.cycles import (
    closing_usage,
    external_taxes,
    finals,
    held_terms,
    holding,
    issuing,
)
from billing.flows.cycles.collecting import collected_later
from billing.flows.cycles.deciding import CannotOpen, Opening, WaitsForTaxes, decide
from billing.flows.cycles.ending import end, is_over, is_unpaid, leave_unpaid
from billing.flows.cycles.external_taxes import TaxesToAsk
from billing.flows.cycles.finals import FinalUsage
from billing.flows.cycles.issuing import InSeries, Issued
from billing.flows.cycles.kept_bills import KeptBills
from billing.flows.policy import CLOCK_TOLERANCE, Policy
from billing.pricing import InvoiceKind
from billing.rules import invoices as invoice_rules
from billing.rules.actor import SCHEDULER
from billing.rules.facts import as_json
from billing.rules.subscriptions import (
    CycleKind,
    DatedChange,
    ParkedReason,
    Status,
    SubscriptionEventKind,
    after_open,
    after_resume,
)
from billing.store.payments import debts, tax_calls
from billing.store.subscriptions import changes, cycles, plans, segments, subscriptions
from billing.store.subscriptions.cycles import NewCycle
from billing.store.subscriptions.parking import NOT_PARKED, lock_decidable, parked_for
from billing.store.subscriptions.subscriptions import Advance, NewEvent, Subscription


@dataclass(frozen=True, slots=True)
class Opened:
    """What one batch did: cycles opened, subscriptions parked and those that ended instead."""

    openings: Sequence[Opening] = ()
    unable: Sequence[tuple[Subscription, CannotOpen]] = ()
    ended: Sequence[Subscription] = ()
    unpaid: Sequence[Subscription] = ()
    """Those that became unpaid instead, because what was paid for is served."""
    billed: Sequence[FinalUsage] = ()
    """Whose usage was billed after their end, or is to be given back."""
    waiting: Sequence[TaxesToAsk] = ()
    """The taxes that a provider was not asked for before: their subscriptions wait for them."""
    clock_ahead_by: timedelta | None = None
    """By how much the caller's clock was ahead of the database's; nothing was opened then."""

    @property
    def opened(self) -> int:
        """How many cycles were opened."""
        return len(self.openings)

    @property
    def parked(self) -> int:
        """How many subscriptions were parked."""
        return len(self.unable)

    @property
    def canceled(self) -> int:
        """How many subscriptions ended."""
        return len(self.ended)

    @property
    def cheaper(self) -> Sequence[tuple[UUID, Sequence[UUID]]]:
        """Whose usage got cheaper than it was billed, each with the invoices that billed it."""
        found = [(each.subscription.id, each.arrears) for each in self.openings]
        found += [(each.subscription.id, each.arrears) for each in self.billed]
        return [
            (owner, sorted({one for each in arrears.cheaper for one in each.invoices}))
            for owner, arrears in found
            if arrears.cheaper
        ]

    @property
    def seen(self) -> int:
        """How many subscriptions were due; 0 when nothing was."""
        others = len(self.unpaid) + len(self.billed) + len(self.waiting)
        return self.opened + self.parked + self.canceled + others


def open_due_cycles(
    engine: Engine, *, now: datetime, limit: int, policy: Policy, held: Sequence[str] = ()
) -> Opened:
    """Open the next cycle of up to `limit` due subscriptions, earliest first, in one transaction.

    The usage of those that ended is billed, too, once it has arrived. Where usage got `cheaper`,
    the caller gives it back.
    Several schedulers may run this at once. Call it until nothing is seen: a subscription that
    missed several periods gets one cycle a call, in order. A caller whose clock is ahead of the
    database's by more than a tolerance opens nothing: nobody is billed for a period that hasn't
    begun. In sandbox mode the test clock is that clock, while one is set. Customers of the accounts
    `held` wait.
    """
    with collected_later(), marked(CrashPoint.CYCLES_OPENED), engine.begin() as conn:
        ahead_by = now - _latest(plans.hold(conn), policy)
        if ahead_by > CLOCK_TOLERANCE:
            return Opened(clock_ahead_by=ahead_by)
        if policy.tax is not None:
            _release_decidable(conn, now, limit)
        due = subscriptions.lock_due(conn, now, limit, held=held)
        billed, unable = finals.bill_due(conn, now, limit - len(due), policy, held=held)
        ended = [subscription for subscription in due if is_over(subscription)]
        going_on = [subscription for subscription in due if not is_over(subscription)]
        changes_of = changes.of_many(conn, [subscription.id for subscription in due])
        unpaid = [each for each in going_on if is_unpaid(each, changes_of.get(each.id, ()))]
        going_on = [each for each in going_on if each not in unpaid]
        openings, not_opened = _decide_all(conn, going_on, changes_of, now, policy)
        unable += not_opened
        unable += _write_all(conn, openings, now)
        waiting = [why.wanted for _, why in unable if isinstance(why, WaitsForTaxes)]
        _wait(conn, waiting, now, policy)
        unable = [each for each in unable if not isinstance(each[1], WaitsForTaxes)]
        for subscription, why in unable:
            park(conn, subscription, now, why)
        for subscription in ended:
            end(conn, subscription, now)
        for subscription in unpaid:
            leave_unpaid(conn, subscription, now)
    refused = {subscription.id for subscription, _ in unable}
    written = [opening for opening in openings if opening.subscription.id not in refused]
    return Opened(written, unable, ended, unpaid, billed, waiting)


def _wait(conn: Connection, wanted: Sequence[TaxesToAsk], now: datetime, policy: Policy) -> None:
    """Let subscriptions wait for taxes: a worker asks for them, and they are due again then."""
    new = [each for each in wanted if each.call_id is None]
    rows = [external_taxes.call_row(each, now, policy.mode, waits=True) for each in new]
    tax_calls.add(conn, rows)
    known = [each.call_id for each in wanted if each.call_id is not None]
    if known:
        tax_calls.wait_for(conn, known)


def _release_decidable(conn: Connection, now: datetime, limit: int) -> None:
    """Release what waited for facts about taxes, once there are more."""
    for owner in lock_decidable(conn, ParkedReason.TAX_UNDECIDED, now, limit):
        subscriptions.change(conn, owner, **NOT_PARKED)
        subscriptions.note(
            conn,
            owner,
            at=now,
            kind=SubscriptionEventKind.RELEASED,
            actor=SCHEDULER,
            missed=None,
            periods=0,
        )


def check_clock(opened: Opened) -> None:
    """Raise `Unavailable` where nothing was opened because of the caller's clock."""
    if opened.clock_ahead_by is not None:
        raise _clock_ahead(opened.clock_ahead_by)


def hold_catalog(conn: Connection, now: datetime, policy: Policy) -> None:
    """Let no price be corrected until the transaction ends (see `plans.hold`).

    Raises `Unavailable` where the caller's clock is ahead of the database's, as that of an
    operator's machine may be.
    """
    ahead_by = now - _latest(plans.hold(conn), policy)
    if ahead_by > CLOCK_TOLERANCE:
        raise _clock_ahead(ahead_by)


def _clock_ahead(by: timedelta) -> Unavailable:
    return Unavailable(
        f"this machine's clock is {by} ahead of the database's: nothing is opened or enqueued",
        code=ErrorCode.CLOCK_AHEAD,
    )


def _decide_all(
    conn: Connection,
    due: Sequence[Subscription],
    changes_of: Mapping[UUID, Sequence[DatedChange]],
    now: datetime,
    policy: Policy,
) -> tuple[list[Opening], list[tuple[Subscription, CannotOpen]]]:
    """Return the next cycle of each (locked) subscription, and who has none, with the reason."""
    if not due:
        return [], []
    catalog, held = plans.published(conn), holding.read(conn, due, policy, now)
    openings: list[Opening] = []
    unable: list[tuple[Subscription, CannotOpen]] = []
    kept = KeptBills()
    for subscription in due:
        try:
            asked = changes_of.get(subscription.id, ())
            holds = held.of(subscription, now)
            opening = decide(subscription, catalog, now, policy, asked, held=holds, kept=kept)
            openings.append(opening)
            if opening.draft is not None:
                held.use(opening.draft)
        except CannotOpen as cannot:
            unable.append((subscription, cannot))
        except Exception as error:  # noqa: BLE001  whatever it is, it is this one's alone
            words = f"{type(error).__name__}: {error}"
            unable.append((subscription, CannotOpen(ParkedReason.ERROR, words)))
    return openings, unable


def _latest(held: plans.Held, policy: Policy) -> datetime:
    """Return what the time is by the database, which all processes share."""
    pinned = None if policy.mode == "live" else held.test_clock
    return pinned or held.database


# --- writing ------------------------------------------------------------------------------------


def _write_all(
    conn: Connection, openings: Sequence[Opening], now: datetime
) -> list[tuple[Subscription, CannotOpen]]:
    """Write a batch; when the database refuses it, one by one, and return who can't be opened."""
    if not openings:
        return []
    try:
        with conn.begin_nested():
            write(conn, openings, now)
    except (DBAPIError, BillingError) as error:
        _raise_if_unreachable(error)
    else:
        return []
    unable: list[tuple[Subscription, CannotOpen]] = []
    for opening in openings:
        try:
            with conn.begin_nested():
                write(conn, [opening], now)
        except (DBAPIError, BillingError) as error:
            _raise_if_unreachable(error)
            why = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            reason = CannotOpen(ParkedReason.REFUSED_BY_DATABASE, why.strip())
            unable.append((opening.subscription, reason))
    return unable


def _raise_if_unreachable(error: DBAPIError | BillingError) -> None:
    """Raise an error that lies outside the row: a lost connection, a deadlock, a timeout."""
    if isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        raise error


def write(conn: Connection, openings: Sequence[Opening], now: datetime) -> None:
    """Write cycles, invoices, payments and entries, and move the subscriptions on."""
    openings = [_with_debts(conn, opening) for opening in openings]
    cycles.add(conn, [_cycle_row(opening, now) for opening in openings])
    for opening in openings:
        if opening.begins is not None and opening.before is not None:
            to_come = opening.subscription.timetable.segments[1:]
            segments.begin(conn, opening.before, [opening.begins], to_come)
        if opening.terms is not None:
            held_terms.write(conn, opening.subscription, opening.terms, opening.version)
    subscriptions.advance(conn, [_advance(opening, now) for opening in openings])
    subscriptions.notes(conn, [note for opening in openings for note in _notes(opening, now)])
    issuing.issue(conn, [_issued(opening) for opening in openings if opening.draft], now)
    closing_usage.write_unbilled(
        conn, [(each.subscription.id, each.arrears.unbilled) for each in openings], now
    )


def _with_debts(conn: Connection, opening: Opening) -> Opening:
    """Return an opening that ends a pause with whether its subscription owes something."""
    if not opening.resumes:
        return opening
    return replace(opening, past_due=debts.any_past_due(conn, opening.subscription.id))


def _cycle_row(opening: Opening, now: datetime) -> NewCycle:
    return {
        "id": opening.cycle_id,
        "subscription_id": opening.subscription.id,
        "customer_id": opening.subscription.customer_id,
        "n": opening.scheduled.n,
        "kind": opening.kind,
        "period_start": opening.scheduled.period.start,
        "period_end": opening.scheduled.period.end,
        "plan": opening.subscription.plan,
        "plan_version": opening.version.effective,
        "opened_at": now,
        "after_cut": opening.after_cut,
    }


def _issued(opening: Opening) -> Issued:
    subscription = opening.subscription
    assert opening.facts is not None, "it is billed"
    assert opening.draft is not None, "it is billed"
    number = invoice_rules.number(subscription.invoice_prefix, opening.scheduled.n)
    return Issued(
        invoice_id=opening.invoice_id,
        payment_id=opening.payment_id,
        cycle_id=opening.cycle_id if opening.facts.kind is InvoiceKind.CYCLE else None,
        subscription_id=subscription.id,
        customer_id=subscription.customer_id,
        number=InSeries(opening.series) if opening.series else number,
        facts=opening.facts,
        draft=opening.draft,
        recognise_at=opening.recognise_at,
        decision=opening.decision,
    )


def _advance(opening: Opening, now: datetime) -> Advance:
    return Advance(
        id=opening.subscription.id,
        next_n=opening.scheduled.n + 1,
        renews_at=opening.scheduled.period.end,
        status=_status_after(opening),
        plan_version=opening.version.effective,
        carried=opening.carried,
        usage_from_n=opening.usage_from_n,
        usage_wait_seconds=opening.usage_wait_seconds,
        usage_due_at=now if opening.arrears.cheaper else None,
    )


def _status_after(opening: Opening) -> Status:
    if opening.resumes:
        return after_resume(opening.kind is CycleKind.TRIAL, opening.past_due)
    return after_open(opening.subscription.status, opening.kind)


def _notes(opening: Opening, now: datetime) -> list[NewEvent]:
    """Return timeline events for what the cycle rows alone don't show."""
    subscription, after = opening.subscription, _status_after(opening)
    found: list[tuple[SubscriptionEventKind, dict[str, object]]] = []
    if opening.resumes:
        why = "the pause is over"
        found.append((SubscriptionEventKind.RESUMED, {"after": after, "why": why}))
    elif after is not subscription.status:
        found.append(
            (SubscriptionEventKind.ACTIVE, {"before": subscription.status, "after": after})
        )
    before, version = subscription.plan_version, opening.version.effective
    if version != before:
        found.append((SubscriptionEventKind.PLAN_VERSION, {"before": before, "after": version}))
    return [
        {
            "subscription_id": subscription.id,
            "at": now,
            "kind": kind,
            "actor": str(SCHEDULER),
            "detail": as_json({"n": opening.scheduled.n, **facts}),
        }
        for kind, facts in found
    ]


def park(conn: Connection, subscription: Subscription, now: datetime, why: CannotOpen) -> None:
    """Park a (locked) subscription with what a person has to read; the scheduler passes it over."""
    error = None if why.error is None else why.error[:2000]
    subscriptions.change(
        conn, subscription.id, **parked_for(now, why.reason, error), parked_facts=why.facts
    )
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=SubscriptionEventKind.PARKED,
        actor=SCHEDULER,
        n=subscription.next_n,
        reason=why.reason,
        error=error,
        facts=why.facts,
    )
