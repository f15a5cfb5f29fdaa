"""Subscriptions and their history."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import insert

from billing.rules.actor import Actor
from billing.rules.facts import as_json
from billing.rules.periods import Schedule, ScheduledPeriod, schedule_of
from billing.rules.segments import Segment, Timetable
from billing.rules.subscriptions import EndedBy, Status, SubscriptionEventKind
from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.rows import names_of, reader
from billing.store.tables import (
    provider_customers,
    subscription_events,
    subscriptions,
    tax_calls,
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription as stored; `renews_at` is the start of the cycle numbered `next_n`.

    `cancels_at` is the instant at which it ends, once that is decided; `ended_by` what ends it.
    `carried` is what an invoice of before was too small to charge, in minor units. `provider` is
    the account that it is collected over, where it names one; else that is its customer's.
    Its schedule is that of its segment, which began with period `segment_from_n`.
    The usage of periods from `usage_from_n` on isn't billed yet; None: it never had meters. Its
    next cycle is opened at `opens_at`: so long after `renews_at` that usage has arrived. After its
    end its usage is billed at `usage_due_at`; before, what of it got cheaper is given back then.
    """

    id: UUID
    external_id: str | None
    customer_id: UUID
    plan: str
    plan_version: date
    currency: str
    quantity: int
    invoice_prefix: str
    status: Status
    anchor_local: datetime
    zone: str
    every: str
    trial: str | None
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None
    next_n: int
    renews_at: datetime | None
    cancels_at: datetime | None
    ended_by: EndedBy | None
    parked_at: datetime | None
    parked_error: str | None
    parked_reason: str | None
    parked_facts: Mapping[str, Any]
    canceled_at: datetime | None
    created_at: datetime
    carried: int
    provider: str | None
    month_day: int | None = None
    segment_from_n: int = 0
    segment_starts_at: datetime | None = None
    segments_to_come: Sequence[Mapping[str, Any]] | None = None
    usage_from_n: int | None = None
    usage_wait_seconds: int = 0
    opens_at: datetime | None = None
    usage_due_at: datetime | None = None

    @property
    def schedule(self) -> Schedule:
        """The value that boundaries are computed from, until another segment begins."""
        return schedule_of(
            self.anchor_local,
            self.zone,
            self.every,
            self.trial,
            self.anchor_day,
            self.anchor_month,
            self.anchor_weekday,
            self.month_day,
        )

    @property
    def segment(self) -> Segment:
        """The segment that began last."""
        return Segment(self.segment_from_n, self.segment_starts_at, self.schedule)

    @property
    def timetable(self) -> Timetable:
        """What all boundaries are computed from, from its segment on."""
        to_come = self.segments_to_come or ()
        return Timetable((self.segment, *(Segment.of_document(each) for each in to_come)))

    @property
    def next_period(self) -> ScheduledPeriod:
        """The period that is opened next; only a subscription that renews has one."""
        assert self.renews_at is not None, "nothing is scheduled"
        return self.timetable.nth_from(self.next_n, self.renews_at)

    def at_period(self, n: int) -> "Subscription":
        """Return it with the schedule that a period is of, which may be to come."""
        if not self.segments_to_come:
            return self
        segments = self.timetable.segments
        segment = self.timetable.segment_of(n)
        later = segments[segments.index(segment) + 1 :]
        return self.in_segments(segment, later)

    def in_segments(self, segment: Segment, to_come: Sequence[Segment]) -> "Subscription":
        """Return it in a segment, with those that are to come."""
        documents = [each.document() for each in to_come]
        return replace(
            self,
            **segment.columns(),
            segment_from_n=segment.from_n,
            segment_starts_at=segment.starts_at,
            segments_to_come=documents or None,
        )

    def has_ended(self, now: datetime) -> bool:
        """Tell whether it is canceled, or was to end by now."""
        return self.canceled_at is not None or (
            self.cancels_at is not None and self.cancels_at <= now
        )


class SubscriptionChange(TypedDict, total=False):
    """Columns of a subscription that may be written, each with its type."""

    status: Status
    plan: str
    plan_version: date
    quantity: int
    next_n: int
    renews_at: datetime | None
    cancels_at: datetime | None
    ended_by: EndedBy | None
    canceled_at: datetime | None
    parked_at: datetime | None
    parked_error: str | None
    parked_reason: str | None
    parked_facts: Mapping[str, Any]
    provider: str | None
    segments_to_come: Sequence[Mapping[str, Any]] | None
    usage_from_n: int | None
    usage_wait_seconds: int
    usage_due_at: datetime | None


class NewSubscription(TypedDict):
    """The columns of a subscription that begins."""

    id: UUID
    external_id: str | None
    customer_id: UUID
    plan: str
    plan_version: date
    currency: str
    quantity: int
    invoice_prefix: str
    status: Status
    anchor_local: datetime
    zone: str
    every: str
    trial: str | None
    anchor_day: int | None
    anchor_month: int | None
    anchor_weekday: int | None
    next_n: int
    renews_at: datetime
    created_at: datetime
    provider: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionEvent:
    """One line of a subscription's history: a kind with facts.

    Rows of earlier versions have `words` instead of facts, and may be of a kind that there is no
    more.
    """

    id: int
    subscription_id: UUID
    at: datetime
    kind: str
    actor: str
    words: str | None
    detail: Mapping[str, Any]


class NewEvent(TypedDict):
    """One line to be added to a subscription's history."""

    subscription_id: UUID
    at: datetime
    kind: SubscriptionEventKind
    actor: str
    detail: Mapping[str, Any]


_COLUMNS = names_of(Subscription)
_of = reader(Subscription)
_event_of = reader(SubscriptionEvent)


def _query() -> Select[Any]:
    return select(*(subscriptions.c[name] for name in _COLUMNS))


def _decided(query: Select[Any]) -> Select[Any]:
    """Return a query without those that wait for taxes of a provider."""
    theirs = tax_calls.c.subscription_id == subscriptions.c.id
    open_ = tax_calls.c.waits & (tax_calls.c.state == "open")
    return query.where(~select(tax_calls.c.id).where(theirs, open_).exists())


DUE = _decided(
    _query()
    .where(
        subscriptions.c.parked_at.is_(None),
        subscriptions.c.opens_at.is_not(None),
        subscriptions.c.opens_at <= bindparam("now", type_=subscriptions.c.opens_at.type),
    )
    .order_by(subscriptions.c.opens_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, key_share=True)
)
FINAL = _decided(
    _query()
    .where(
        subscriptions.c.parked_at.is_(None),
        subscriptions.c.usage_due_at.is_not(None),
        subscriptions.c.usage_due_at <= bindparam("now", type_=subscriptions.c.usage_due_at.type),
    )
    .order_by(subscriptions.c.usage_due_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, key_share=True)
)


def _elsewhere(query: Select[Any]) -> Select[Any]:
    """Return a query without the customers of accounts that are `held`."""
    held = provider_customers.c.provider.in_(bindparam("held", expanding=True))
    theirs = provider_customers.c.customer_id == subscriptions.c.customer_id
    return query.where(~select(provider_customers.c.id).where(theirs, held).exists())


_DUE_ELSEWHERE, _FINAL_ELSEWHERE = _elsewhere(DUE), _elsewhere(FINAL)


def lock_due(
    conn: Connection, now: datetime, limit: int, *, held: Sequence[str] = ()
) -> list[Subscription]:
    """Lock up to `limit` subscriptions whose next cycle is due, earliest first.

    Skips rows that another scheduler has locked, and customers who are at an account of `held`.
    """
    values = {"now": now, "limit": limit}
    if held:
        return [_of(row) for row in conn.execute(_DUE_ELSEWHERE, values | {"held": list(held)})]
    return [_of(row) for row in conn.execute(DUE, values)]


def lock_usage_due(
    conn: Connection, now: datetime, limit: int, *, held: Sequence[str] = ()
) -> list[Subscription]:
    """Lock up to `limit` subscriptions whose usage is to be billed, or given back, by now.

    Skips the same as `lock_due`.
    """
    values = {"now": now, "limit": limit}
    if held:
        return [_of(row) for row in conn.execute(_FINAL_ELSEWHERE, values | {"held": list(held)})]
    return [_of(row) for row in conn.execute(FINAL, values)]


def lock(conn: Connection, subscription_id: UUID) -> Subscription | None:
    """Lock one subscription and return it as it is now."""
    query = _query().where(subscriptions.c.id == subscription_id)
    query = query.with_for_update(key_share=True)
    row = conn.execute(query).one_or_none()
    return _of(row) if row else None


def find(conn: Connection, reference: str) -> Subscription | None:
    """Return the subscription with this id, or else with this external id, maybe a UUID too."""
    row = None
    with suppress(ValueError):
        match = subscriptions.c.id == UUID(reference)
        row = conn.execute(_query().where(match)).one_or_none()
    if row is None:
        match = subscriptions.c.external_id == reference
        row = conn.execute(_query().where(match)).one_or_none()
    return _of(row) if row else None


def of_plan(conn: Connection, customer_id: UUID, plan: str) -> list[Subscription]:
    """Return a customer's subscriptions to a plan, ended ones too, in order of creation."""
    theirs = (subscriptions.c.customer_id == customer_id) & (subscriptions.c.plan == plan)
    query = _query().where(theirs).order_by(subscriptions.c.id)
    return [_of(row) for row in conn.execute(query)]


def live_of(conn: Connection, customer_id: UUID) -> list[Subscription]:
    """Return a customer's subscriptions that aren't canceled, in order of creation."""
    live = (subscriptions.c.customer_id == customer_id) & (
        subscriptions.c.status != Status.CANCELED
    )
    return [_of(row) for row in conn.execute(_query().where(live).order_by(subscriptions.c.id))]


def page(
    conn: Connection,
    *,
    status: str | None = None,
    plan: str | None = None,
    parked: bool | None = None,
    limit: int = 50,
    after: UUID | None = None,
) -> list[Subscription]:
    """Return up to `limit` subscriptions in order of creation, after the id `after`."""
    query = _query().order_by(subscriptions.c.id).limit(limit)
    if status is not None:
        query = query.where(subscriptions.c.status == status)
    if plan is not None:
        query = query.where(subscriptions.c.plan == plan)
    if parked is not None:
        is_null = subscriptions.c.parked_at.is_(None)
        query = query.where(~is_null if parked else is_null)
    if after is not None:
        query = query.where(subscriptions.c.id > after)
    return [_of(row) for row in conn.execute(query)]


def add(conn: Connection, values: NewSubscription) -> bool:
    """Insert one subscription; False when its external id is taken."""
    statement = insert(subscriptions).values(**values)
    taken = statement.on_conflict_do_nothing(index_elements=["external_id"])
    return conn.execute(taken.returning(subscriptions.c.id)).one_or_none() is not None


def change(conn: Connection, subscription_id: UUID, **values: Unpack[SubscriptionChange]) -> None:
    """Write columns of one subscription."""
    conn.execute(
        update(subscriptions).where(subscriptions.c.id == subscription_id).values(**values)
    )


_ADVANCE = text(
    """
    UPDATE subscriptions AS s
       SET next_n = x.next_n, renews_at = x.renews_at, status = x.status,
           plan_version = x.plan_version, carried = x.carried,
           usage_from_n = x.usage_from_n, usage_wait_seconds = x.usage_wait_seconds,
           usage_due_at = x.usage_due_at
      FROM unnest(CAST(:ids AS uuid[]), CAST(:next_ns AS int[]), CAST(:renews AS timestamptz[]),
                  CAST(:statuses AS text[]), CAST(:versions AS date[]),
                  CAST(:carried AS bigint[]), CAST(:usage_froms AS int[]),
                  CAST(:usage_waits AS int[]), CAST(:usage_dues AS timestamptz[]))
           AS x(id, next_n, renews_at, status, plan_version, carried, usage_from_n,
                usage_wait_seconds, usage_due_at)
     WHERE s.id = x.id
    """
)


@dataclass(frozen=True, slots=True)
class Advance:
    """The next cycle's number and start, after a cycle was opened."""

    id: UUID
    next_n: int
    renews_at: datetime
    status: Status
    plan_version: date
    carried: int
    usage_from_n: int | None = None
    usage_wait_seconds: int = 0
    usage_due_at: datetime | None = None


def advance(conn: Connection, rows: Sequence[Advance]) -> None:
    """Move the given (locked) subscriptions on, all in one statement."""
    if rows:
        conn.execute(
            _ADVANCE,
            {
                "ids": literal([row.id for row in rows]),
                "next_ns": literal([row.next_n for row in rows]),
                "renews": literal([row.renews_at for row in rows]),
                "statuses": literal([str(row.status) for row in rows]),
                "versions": literal([row.plan_version for row in rows]),
                "carried": literal([row.carried for row in rows]),
                "usage_froms": literal([row.usage_from_n for row in rows]),
                "usage_waits": literal([row.usage_wait_seconds for row in rows]),
                "usage_dues": literal([row.usage_due_at for row in rows]),
            },
        )


def note(
    conn: Connection,
    subscription_id: UUID,
    *,
    at: datetime,
    kind: SubscriptionEventKind,
    actor: Actor,
    **facts: object,
) -> None:
    """Append one line to a subscription's timeline: its kind, and facts as JSON has them."""
    notes(
        conn,
        [
            {
                "subscription_id": subscription_id,
                "at": at,
                "kind": kind,
                "actor": str(actor),
                "detail": as_json(facts),
            }
        ],
    )


def notes(conn: Connection, rows: Sequence[NewEvent]) -> None:
    """Append many timeline lines in one statement."""
    bulk_insert(conn, subscription_events, rows)


def events(conn: Connection, subscription_id: UUID) -> list[SubscriptionEvent]:
    """Return the timeline lines of a subscription, oldest first."""
    query = (
        select(subscription_events)
        .where(subscription_events.c.subscription_id == subscription_id)
        .order_by(subscription_events.c.id)
    )
    return [_event_of(row) for row in conn.execute(query)]
