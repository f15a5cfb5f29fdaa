"""Checks of the demo's usage: what was sent against what was counted and billed."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from billing.workers.demo.usage import SentEvent, Used

CALLS: Final = "calls"
CALLERS: Final = "callers"

Place = tuple[str, str, int]
"""A subscription by its reference, a meter and the number of a period."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many events there were, and what they came to on a meter."""

    events: int = 0
    quantity: int = 0


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """Actual counts beside what the demo sent.

    `rows` counts an event as often as it was sent. `expected` and `counted` are by subscription,
    meter and period; so are `to_bill`, what had been sent when a period was billed last, and
    `billed`. `late` and `late_by_engine` are events of billed periods. `amounts` is what usage was
    billed, by currency in minor units, before discounts and taxes.
    """

    sent: int = 0
    rows: int = 0
    repeated: int = 0
    repeated_by_engine: int = 0
    refused: int = 0
    conflicting: int = 0
    answers_lost: int = 0
    lost: int = 0
    unknown: int = 0
    """Events that are kept and that nobody sent."""
    late: int = 0
    late_by_engine: int = 0
    expected: Mapping[Place, Quantity] = field(default_factory=dict)
    counted: Mapping[Place, Quantity] = field(default_factory=dict)
    to_bill: Mapping[Place, Quantity] = field(default_factory=dict)
    billed: Mapping[Place, Quantity] = field(default_factory=dict)
    amounts: Mapping[str, int] = field(default_factory=dict)

    @property
    def counted_once(self) -> int:
        """How many events the totals have."""
        return sum(each.events for (_, meter, _), each in self.counted.items() if meter == CALLS)

    @property
    def billed_by_meter(self) -> Mapping[str, int]:
        """What was billed, by meter."""
        sums: dict[str, int] = {}
        for (_, meter, _), each in sorted(self.billed.items()):
            sums[meter] = sums.get(meter, 0) + each.quantity
        return sums

    def findings(self) -> list[str]:
        """Return in words what doesn't add up."""
        wrong = {
            f"{self.lost} events of usage were answered and are not kept": self.lost,
            f"{self.unknown} events of usage are kept, and nobody sent them": self.unknown,
            f"{self.conflicting} events of usage conflict": self.conflicting,
            f"{self.sent} events of usage were sent, {self.counted_once} are counted and"
            f" {self.refused} refused": self.sent != self.counted_once + self.refused,
            f"{self.repeated} events of usage were answered as repeated, and"
            f" {self.repeated_by_engine} are recorded": self.repeated > self.repeated_by_engine,
            f"{self.late} events of usage came late, and {self.late_by_engine} are recorded": (
                self.late != self.late_by_engine
            ),
        }
        return [
            *(finding for finding, is_wrong in wrong.items() if is_wrong),
            *_differences("counted", self.expected, self.counted),
            *_differences("billed", self.to_bill, self.billed),
        ]


def _differences(
    done: str, expected: Mapping[Place, Quantity], found: Mapping[Place, Quantity]
) -> list[str]:
    none = Quantity()
    return [
        f"{place[0]}, {place[1]}, period {place[2]}: {mine.quantity} of {mine.events} events were"
        f" sent, {theirs.quantity} of {theirs.events} are {done}"
        for place in sorted({*expected, *found})
        if (mine := expected.get(place, none)) != (theirs := found.get(place, none))
    ]


@dataclass(frozen=True, slots=True)
class _Billed:
    """When a meter of a period was billed first and last, and what then came of it."""

    first_at: datetime
    last_at: datetime
    last: Quantity


def usage_figures(conn: Connection, done: Used) -> UsageFigures:
    """Count everything once."""
    events = [each for one, each in done.events.items() if one in done.counted]
    places = _placed(conn, events)
    counted = {
        _place(row): Quantity(row.events, int(row.quantity)) for row in conn.execute(_TOTALS)
    }
    billed = _billed(conn)
    received = {row.outcome: int(row.events) for row in conn.execute(_RECEIVED)}
    kept: set[UUID] = set(conn.execute(_KEPT).scalars())
    return UsageFigures(
        sent=len(done.events),
        rows=done.rows,
        repeated=done.repeated,
        repeated_by_engine=received.get("repeated", 0),
        refused=len(done.events) - len(done.counted),
        conflicting=done.conflicting,
        answers_lost=done.answers_lost,
        lost=len(done.counted - kept),
        unknown=len(kept - done.counted),
        late=len(
            {
                each.id
                for place, found in places.items()
                if place in billed
                for each in found
                if each.sent_at >= billed[place].first_at
            }
        ),
        late_by_engine=received.get("late", 0),
        expected={place: _sum(place[1], found) for place, found in places.items()},
        counted=counted,
        to_bill={
            place: _sum(place[1], (e for e in places.get(place, ()) if e.sent_at < each.last_at))
            for place, each in billed.items()
        },
        billed={place: each.last for place, each in billed.items()},
        amounts={row.currency: int(row.amount) for row in conn.execute(_AMOUNTS)},
    )


def _placed(conn: Connection, events: Iterable[SentEvent]) -> dict[Place, list[SentEvent]]:
    """Return the events of each period, on each meter, by the periods that cycles have."""
    starts: dict[str, list[datetime]] = defaultdict(list)
    for row in conn.execute(_PERIODS):
        starts[row.reference].append(row.period_start)
    placed: dict[Place, list[SentEvent]] = defaultdict(list)
    for each in events:
        n = bisect_right(starts[each.reference], each.at) - 1
        for meter in (CALLS, CALLERS):
            placed[each.reference, meter, n].append(each)
    return placed


def _sum(meter: str, events: Iterable[SentEvent]) -> Quantity:
    found = list(events)
    if meter == CALLS:
        return Quantity(len(found), sum(each.n for each in found))
    return Quantity(len(found), len({each.caller for each in found}))


def _billed(conn: Connection) -> dict[Place, _Billed]:
    return {
        _place(row): _Billed(row.first_at, row.at, Quantity(row.events, int(row.quantity)))
        for row in conn.execute(_CLOSINGS)
    }


def _place(row: object) -> Place:
    return row.reference, row.meter, row.n  # type: ignore[attr-defined]


# Neither a plan nor what is held of it changes here, so that a period has one segment.
_TOTALS: Final = text(
    """
    SELECT s.external_id AS reference, t.meter, t.n, t.events, coalesce(t.keys, t.sum) AS quantity
      FROM usage_totals t JOIN subscriptions s ON s.id = t.subscription_id
    """
)
_CLOSINGS: Final = text(
    """
    SELECT DISTINCT ON (c.subscription_id, c.meter, c.n)
           s.external_id AS reference, c.meter, c.n, c.events, c.quantity, c.at,
           min(c.at) OVER (PARTITION BY c.subscription_id, c.meter, c.n) AS first_at
      FROM usage_closings c JOIN subscriptions s ON s.id = c.subscription_id
     ORDER BY c.subscription_id, c.meter, c.n, c.revision DESC
    """
)
_PERIODS: Final = text(
    """
    SELECT s.external_id AS reference, c.period_start
      FROM cycles c JOIN subscriptions s ON s.id = c.subscription_id ORDER BY 1, c.n
    """
)
_KEPT: Final = text("SELECT DISTINCT id FROM usage_events")
_RECEIVED: Final = text("SELECT outcome, sum(events) AS events FROM usage_counts GROUP BY outcome")
_AMOUNTS: Final = text(
    """
    SELECT i.currency, sum(l.gross) AS amount
      FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id
     WHERE l.item IN ('calls', 'callers') AND i.status <> 'void'
     GROUP BY i.currency ORDER BY i.currency
    """
)
