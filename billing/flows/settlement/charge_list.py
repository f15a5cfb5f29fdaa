"""Comparing the provider's list of charges with the captures that we booked.

Charges are read a hundred a call, over the window that still matters, and compared in batches. A
payment that agrees is confirmed, so that its cycle may close; a difference becomes a break with
both sides. This flow corrects nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.flows import fence, made_objects
from billing.flows.breaks import unreadable
from billing.flows.context import Context
from billing.gateway import ProviderCharge
from billing.gateway.objects import unreadable_in
from billing.rules.money import Money
from billing.rules.reconciliation import (
    BreakFound,
    BreakKind,
    Confirmed,
    Difference,
    OurSide,
    ProviderSide,
    compare,
    is_of_another,
)
from billing.rules.reconciliation.knowledge import FenceCause, MadeKind
from billing.store.identity import engine_id
from billing.store.settlement import breaks, charge_list
from billing.store.settlement.charge_list import ChargedPayment

# The provider's clock may differ from ours, and a charge is dated before we get its answer.
OVERLAP: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class ConfirmRun:
    """What one run did; `until` is the instant up to which the provider's charges were read.

    `passed_over` are charges that other engines made over the same account.
    """

    charges: int
    confirmed: int
    differences: int
    until: datetime
    passed_over: int = 0


def together(done: Sequence[ConfirmRun], *, until: datetime) -> ConfirmRun:
    """Return the sums of the runs over several accounts; `until` is the earliest, or else this."""
    return ConfirmRun(
        sum(each.charges for each in done),
        sum(each.confirmed for each in done),
        sum(each.differences for each in done),
        min((each.until for each in done), default=until),
        sum(each.passed_over for each in done),
    )


def run(context: Context, *, read_until: datetime | None) -> ConfirmRun:
    """Compare the account's charges with our payments and confirm those that agree.

    Reads from the first send of the oldest unconfirmed capture, or from `read_until` (where the
    last run ended) if that is earlier; the first run from the first attempt there ever was.
    Safe to kill and to run twice at once. Raises `Unavailable`.
    """
    engine, provider, now = context.engine, context.account, context.clock.now()
    with engine.connect() as conn:
        oldest = charge_list.oldest_unconfirmed(conn, provider)
        undecided = charge_list.oldest_undecided(conn, provider)
        begun = read_until or charge_list.first_sent(conn, provider)
    # The next run has to read charges of attempts that are open now again.
    until = now if undecided is None else min(now, undecided)
    starts = [at for at in (oldest, begun) if at is not None]
    if not starts:
        return ConfirmRun(0, 0, 0, until)
    since = min(starts) - OVERLAP
    charges = confirmed = differences = passed_over = 0
    for page in context.gateway.list_charges(since=since):
        with marked(CrashPoint.CHARGES_COMPARED), engine.begin() as conn:
            agreed, differing, others = _compare_page(conn, provider, page, since, now)
            differing += unreadable.record(conn, provider, unreadable_in(page), now=now)
        charges += len(page)
        confirmed += agreed
        differences += differing
        passed_over += others
    with marked(CrashPoint.MISSING_CHARGES_RECORDED), engine.begin() as conn:
        before = now - context.policy.confirm_grace
        differences += _report_missing(conn, provider, since, before, now)
    return ConfirmRun(charges, confirmed, differences, until, passed_over)


def _compare_page(
    conn: Connection,
    provider: str,
    page: Sequence[ProviderCharge],
    since: datetime,
    now: datetime,
) -> tuple[int, int, int]:
    """Confirm payments that agree, record breaks; return (newly confirmed, new breaks, others').

    The last counts the charges of other engines.
    """
    engine = engine_id(conn)
    page = _without_unknown(conn, provider, page, since, now)
    took_money = [charge for charge in page if charge.succeeded and charge.captured]
    ours = _our_side(conn, provider, took_money)
    agreed: dict[UUID, str] = {}
    differences = passed_over = 0
    for charge in took_money:
        row = _match(ours, charge)
        if row is None and is_of_another(charge.metadata, engine):
            passed_over += 1
            continue
        verdict = compare(_side(row, agreed), ProviderSide(charge.id, charge.amount))
        if isinstance(verdict, Confirmed):
            assert row is not None
            agreed[row.id] = charge.id
        elif isinstance(verdict, Difference):
            found = _difference(provider, verdict.kind, charge, row)
            differences += breaks.record(conn, found, now=now)
    fresh = {
        key: agreed[key]
        for row in ours.values()
        for key in [row.id]
        if key in agreed and row.confirmed_at is None
    }
    if fresh:
        charge_list.confirm(conn, fresh, now)
    return len(fresh), differences, passed_over


def _without_unknown(
    conn: Connection,
    provider: str,
    page: Sequence[ProviderCharge],
    since: datetime,
    now: datetime,
) -> Sequence[ProviderCharge]:
    """Leave out charges of this engine that no call of this database made, and close the fence.

    The account was compared before: another database of this engine, a copy, charges over it.
    """
    engine = engine_id(conn)
    made = made_objects.made_of(engine, MadeKind.CHARGE, page)
    unknown = made_objects.never_sent(conn, provider, made)
    if unknown:
        fence.close(conn, provider, unknown[0], FenceCause.ANOTHER_DATABASE, since=since, now=now)
    left_out = {each.theirs for each in unknown}
    return [charge for charge in page if charge.id not in left_out]


def _our_side(
    conn: Connection, provider: str, charges: Sequence[ProviderCharge]
) -> dict[str, ChargedPayment]:
    """Return our payments by the provider's id, and by our own id from the metadata."""
    found: dict[str, ChargedPayment] = {}
    rows = charge_list.payments_of(
        conn,
        provider,
        provider_ids=[c.provider_payment_id for c in charges if c.provider_payment_id],
        ids=[own for c in charges if (own := _own_id(c.metadata)) is not None],
    )
    for row in rows:
        found[str(row.id)] = row
        if row.provider_payment_id:
            found[row.provider_payment_id] = row
    return found


def _own_id(metadata: Mapping[str, str]) -> UUID | None:
    try:
        return UUID(metadata.get("payment", ""))
    except ValueError:
        return None


def _match(ours: Mapping[str, ChargedPayment], charge: ProviderCharge) -> ChargedPayment | None:
    by_intent = ours.get(charge.provider_payment_id or "")
    return by_intent or ours.get(charge.metadata.get("payment", ""))


def _side(row: ChargedPayment | None, agreed: Mapping[UUID, str]) -> OurSide | None:
    if row is None:
        return None
    return OurSide(
        state=row.state,
        money=Money(row.amount_captured or row.amount, row.currency),
        charge_id=row.provider_charge_id or agreed.get(row.id),
    )


def _difference(
    provider: str, kind: BreakKind, charge: ProviderCharge, row: ChargedPayment | None
) -> BreakFound:
    return BreakFound(
        kind=kind,
        subject=charge.id,
        ours={}
        if row is None
        else {
            "payment": str(row.id),
            "state": row.state,
            "amount": row.amount_captured,
            "currency": row.currency,
            "charge": row.provider_charge_id,
        },
        theirs={
            "charge": charge.id,
            "payment": charge.provider_payment_id,
            "amount": charge.amount.amount,
            "currency": charge.amount.currency,
            "created": charge.created.isoformat(),
        },
        cycle_id=None if row is None else row.cycle_id,
        payment_id=None if row is None else row.id,
        provider=provider,
    )


def _report_missing(
    conn: Connection, provider: str, since: datetime, before: datetime, now: datetime
) -> int:
    """Record captures that are missing from the complete list of the window."""
    rows = charge_list.unlisted(conn, provider, since=since, before=before)
    found = [
        BreakFound(
            kind=BreakKind.MISSING_AT_PROVIDER,
            subject=row.id,
            ours={
                "payment": str(row.id),
                "state": row.state,
                "amount": row.amount_captured,
                "currency": row.currency,
                "provider_payment": row.provider_payment_id,
                "captured_at": row.captured_at.isoformat(),
            },
            cycle_id=row.cycle_id,
            payment_id=row.id,
            provider=provider,
        )
        for row in rows
    ]
    breaks.record_all(conn, found, now=now)
    return len(rows)
