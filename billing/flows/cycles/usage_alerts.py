"""Noting usage that passed a part of what its item includes, once a period and threshold.

Events are counted without a look at thresholds. Whoever looks remembers how many events it saw
where, so a period is priced again only once more were counted in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from billing.crash_points import CrashPoint, marked
from billing.flows.cycles.arrears import used_items
from billing.flows.cycles.charging import Holdings
from billing.flows.cycles.metered_periods import MeteredPeriod
from billing.plans.addons import Addon
from billing.plans.items import Item
from billing.plans.numbers import exact_text
from billing.plans.terms import Plan
from billing.store.subscriptions import addons, cycles, item_changes, items, plans, referred
from billing.store.subscriptions.cycles import UsedCycle
from billing.store.subscriptions.subscriptions import Subscription
from billing.store.usage import alerts, closings
from billing.store.usage.alerts import NewAlert, Passing, WatchedMeter

ALL: Final = 100
"""The percentage at which everything included is used."""
SLICE: Final = 2_000
"""How many subscriptions are looked at in one transaction."""
_REMEMBERED_MAX: Final = 200_000

_Place = tuple[UUID, int, str]


class UsageAlerts:
    """What a process looks at to find usage that passed a threshold. One thread uses it."""

    def __init__(self) -> None:
        self._published: int | None = None
        self._watched: Sequence[WatchedMeter] = ()
        self._late_for = timedelta(0)
        self._plans: Mapping[str, Plan] = {}
        self._addons: Mapping[str, Addon] = {}
        self._seen: dict[_Place, int] = {}

    def look(self, engine: Engine, now: datetime) -> int:
        """Note all usage that passed a threshold since the last look; return how much did."""
        with engine.connect() as conn:
            self._read_catalog(conn)
        if not self._watched:
            return 0
        noted, after = 0, UUID(int=0)
        while True:
            with marked(CrashPoint.USAGE_ALERTED), engine.begin() as conn:
                ids = alerts.metered(conn, after, SLICE)
                noted += self._look_at(conn, ids, now) if ids else 0
            if len(ids) < SLICE:
                return noted
            after = ids[-1]

    def _read_catalog(self, conn: Connection) -> None:
        """Read what is published, where more is than before."""
        published = referred.versions_published(conn)
        if published == self._published:
            return
        self._plans, self._addons = plans.published(conn), addons.published(conn)
        self._watched = _watched(_alerted(self._plans, self._addons))
        late = [each.late_for or timedelta(0) for each in _alerted(self._plans, self._addons)]
        self._late_for = max(late, default=timedelta(0))
        self._seen.clear()
        self._published = published

    def _look_at(self, conn: Connection, ids: Sequence[UUID], now: datetime) -> int:
        found = alerts.passing(conn, ids, self._watched, now - self._late_for)
        new = [each for each in found if self._seen.get(_place(each)) != each.events]
        if not new:
            return 0
        places = sorted({(each.subscription_id, each.n) for each in new})
        stored = cycles.of_numbers(conn, places)
        passed = list(self._passed(conn, places, stored))
        self._remember(each for each in new if (each.subscription_id, each.n) in stored)
        return alerts.note(conn, passed, now)

    def _remember(self, looked_at: Iterable[Passing]) -> None:
        if len(self._seen) > _REMEMBERED_MAX:
            self._seen.clear()
        self._seen |= {_place(each): each.events for each in looked_at}

    def _passed(
        self,
        conn: Connection,
        places: Sequence[tuple[UUID, int]],
        stored: Mapping[tuple[UUID, int], UsedCycle],
    ) -> Iterator[NewAlert]:
        """Yield what passed a threshold in periods; one without a cycle is looked at later."""
        ids = sorted({owner for owner, _ in places})
        owners = referred.of_ids(conn, ids)
        held, asked = items.of_many(conn, ids), item_changes.of_many(conn, ids)
        counted = closings.counted(conn, places)
        for (owner, n), cycle in stored.items():
            holds = Holdings(held.get(owner, ()), self._addons, asked.get(owner, ()))
            period = MeteredPeriod(
                n=n,
                kind=cycle.kind,
                start=cycle.period_start,
                end=cycle.period_end,
                ends_at=_ended(cycle, owners[owner]),
                plan=cycle.plan,
                plan_version=cycle.plan_version,
                counted=counted[owner, n].counted,
            )
            for used in used_items(owners[owner], period, holds, self._plans):
                yield from _alerts(owner, n, used.item, used.segment, used.quantity)


def _place(each: Passing) -> _Place:
    return each.subscription_id, each.n, each.meter


def _alerted(published: Mapping[str, Plan], added: Mapping[str, Addon]) -> list[Item]:
    """Return every published item that has an alert."""
    versions = [version for plan in published.values() for version in plan.versions]
    sold = [item for version in versions for item in version.sold]
    sold += [version.item for addon in added.values() for version in addon.versions]
    return [item for item in sold if item.alert is not None]


def _watched(alerted: Iterable[Item]) -> list[WatchedMeter]:
    """Return the meters of alerts, each with the least quantity that one is at."""
    least: dict[tuple[str, str], tuple[Fraction, WatchedMeter]] = {}
    for item in alerted:
        assert item.meter is not None, "an alert is of usage"
        assert item.alert is not None, "it has one"
        at = item.included * item.alert / ALL
        key = item.meter.code, str(item.meter.aggregate)
        if key not in least or at < least[key][0]:
            least[key] = at, WatchedMeter(item.meter, exact_text(at))
    return [watched for _, watched in least.values()]


def _ended(cycle: UsedCycle, subscription: Subscription) -> datetime:
    ends = (cycle.cut_at, subscription.canceled_at)
    earlier = [each for each in ends if each is not None and each > cycle.period_start]
    return min([cycle.period_end, *earlier])


def _alerts(
    owner: UUID, n: int, item: Item, segment: int, quantity: Fraction
) -> Iterator[NewAlert]:
    if item.alert is None or item.meter is None:
        return
    for percent in sorted({item.alert, ALL}):
        if quantity * ALL >= item.included * percent:
            yield NewAlert(
                subscription_id=owner,
                item=item.code,
                meter=item.meter.code,
                n=n,
                segment=segment,
                percent=percent,
                quantity=exact_text(quantity),
                included=exact_text(item.included),
            )
