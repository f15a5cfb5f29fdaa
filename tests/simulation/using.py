"""Usage: how it is sent, and how what was counted and billed of it is compared.

What is sent is settled with the first try; every further one, and every other writer, sends the
same under the same ids.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import combinations, groupby
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.flows.usage.ingesting import ingest
from tests.simulation.catalog import METERS
from tests.simulation.metered import Billing, Place, Ran, Usage, Used, runs
from tests.simulation.pricing import HELD_UP, Invoice
from tests.simulation.selling import id_of
from tests.simulation.wires import CLOCKS

if TYPE_CHECKING:
    from tests.simulation.asking import Asked, Asking, Fact

COUNTED: Final = frozenset({"accepted", "repeated"})
APART: Final = 2 * CLOCKS
SETTLED: Final = timedelta(hours=2)
"""How old usage is at least that is sent while what is held changes: nobody is held up so long."""
IN_DOUBT: Final = 12  # events of which a closing may have seen some
LAST: Final = 10**6  # what comes after all cycles
TAKEN: Final = "1000"  # what comes under a taken id says
USERS: Final = 4
NUMBERS: Final = ("1", "2.5", "0.125", "7", "30")
ITEMS: Final = {"call": "calls", "data": "data"}

UsageRow = Mapping[str, Any]


@dataclass(frozen=True)
class Sent:
    """An event of a batch, and what the answer says of it."""

    row: UsageRow
    outcome: str


# --- how it is sent -----------------------------------------------------------------------------


def send(by: "Asking", asked: "Asked") -> None:
    """Send a batch of usage."""
    batches = by.simulation.batches
    if asked.number not in batches:
        batches[asked.number] = _rows(by, asked)
    rows = batches[asked.number]
    answer = ingest(by.runtime.engine, by.book, rows, asked.at)
    outcomes = dict.fromkeys(range(len(rows)), "accepted")
    outcomes |= dict.fromkeys(answer.repeated, "repeated")
    outcomes |= dict.fromkeys(answer.conflicting, "conflicting")
    outcomes |= {each.index: str(each.reason) for each in answer.refused}
    accepted = sum(outcome == "accepted" for outcome in outcomes.values())
    assert accepted == answer.accepted, f"{answer} of {rows}"
    asked.sent = [Sent(rows[n], outcome) for n, outcome in sorted(outcomes.items())]


def _rows(by: "Asking", asked: "Asked") -> list[UsageRow]:
    """Return what is sent: new events, some that were sent before, and one under a taken id."""
    event, chance = asked.event, Random(f"usage {by.simulation.seed} {asked.number}")
    before = [
        rows
        for number, rows in by.simulation.batches.items()
        if by.simulation.events[number].who == event.who
    ]
    rows = [_row(by, asked, chance, n) for n in range(event.quantity)]
    if before and event.then == "again":
        rows += chance.choice(before)
    if before and event.then == "conflicting":
        taken = chance.choice(chance.choice(before))
        rows.append({**taken, "properties": {**taken["properties"], "n": TAKEN}})
    return rows


def _row(by: "Asking", asked: "Asked", chance: Random, n: int) -> UsageRow:
    event = asked.event
    name = chance.choice(("call", "call", "data"))
    whose = {"subscription": f"s{event.who}"}
    if chance.random() < 0.2:
        whose = {"customer": f"c{event.who}", "item": ITEMS[name]}
    return {
        "id": str(id_of(by.simulation.seed, f"usage {asked.number}", n)),
        "event": name,
        "at": (asked.at - _age(by, asked, chance)).isoformat(),
        "properties": {
            "n": chance.choice(NUMBERS),
            "user": f"user {chance.randrange(USERS)}",
        },
        **whose,
    }


def _age(by: "Asking", asked: "Asked", chance: Random) -> timedelta:
    """Return how old usage is that is sent: of now, or of an earlier day."""
    event = asked.event
    if event.days:
        return timedelta(days=event.days, minutes=chance.randrange(2 * 24 * 60))
    now = CLOCKS + timedelta(minutes=chance.randrange(40))
    return now + (SETTLED if _is_changing(by, event.who) else timedelta())


def _is_changing(by: "Asking", who: int) -> bool:
    """Tell whether what a customer holds changes just now, or did so lately."""
    recent = by.simulation.now - SETTLED - HELD_UP
    asked = [
        each.event
        for asker in by.simulation.askers
        for each in (*asker.waiting, asker.current)
        if each is not None
    ]
    asked += [each.event for each in by.simulation.facts if each.at > recent]
    return any(each.kind == "change" and each.who == who for each in asked)


# --- what is compared ---------------------------------------------------------------------------


class UsageTables:
    """The rows of usage, read once."""

    def __init__(self, conn: Connection) -> None:
        self.closings: dict[UUID, list[Row[Any]]] = defaultdict(list)
        for row in conn.execute(_CLOSINGS):
            self.closings[row.subscription_id].append(row)
        self.events: dict[UUID, list[Row[Any]]] = defaultdict(list)
        for row in conn.execute(_EVENTS):
            self.events[row.subscription_id].append(row)


@dataclass(frozen=True)
class _Counted:
    """An event that was counted: when it was sent first, and known for certain, in which batch."""

    used: Used
    since: datetime
    sure: datetime
    batch: int


@dataclass(frozen=True)
class UsageOf:
    """The usage of a customer: what was sent, and the rows that came of it.

    `bills` are the invoices of the subscription with usage, `cycles` its cycles.
    """

    facts: Sequence["Fact"]
    tables: UsageTables
    subscription: Row[Any]
    currency: str
    zone: str
    cycles: Sequence[Row[Any]]
    invoices: Mapping[UUID, Row[Any]]
    coupons: bool

    def usage(self) -> Usage:
        """Return what the model is told of usage."""
        found = Usage(self.currency, self.zone, 10 if self.currency == "KWD" else 1)
        found.may_be_free = self.coupons
        found.billings = list(self._billings(found.problems))
        return found

    # --- what was counted -----------------------------------------------------------------------

    @cached_property
    def _sent(self) -> list["Fact"]:
        return [each for each in self.facts if each.event.kind == "usage"]

    @cached_property
    def _counted(self) -> dict[int, _Counted]:
        found: dict[int, _Counted] = {}
        for fact in self._sent:
            for each in fact.sent:
                if each.outcome not in COUNTED:
                    continue
                used = _used(each.row)
                known = found.get(used.id)
                since, sure = fact.moments[0], fact.answered
                if known is not None:
                    since, sure = min(known.since, since), min(known.sure, sure)
                found[used.id] = _Counted(used, since, sure, fact.number)
        return found

    @cached_property
    def _of_place(self) -> dict[Place, list[_Counted]]:
        found: dict[Place, list[_Counted]] = defaultdict(list)
        for row in self.tables.events[self.subscription.id]:
            known = self._counted.get(row.id.int)
            if known is not None:
                found[row.n, row.meter].append(known)
        return found

    # --- what was billed ------------------------------------------------------------------------

    def _billings(self, problems: list[str]) -> Iterator[Billing]:
        rows = self.tables.closings[self.subscription.id]
        groups = [group for _, each in groupby(rows, lambda row: row.at) for group in _split(each)]
        latest: dict[Place, dict[int, Row[Any]]] = defaultdict(dict)
        finals = 0
        for group in sorted(groups, key=self._order):
            for row in group:
                latest[row.n, row.meter][row.segment] = row
            known = {}
            for place in {(row.n, row.meter) for row in group}:
                known[place] = self._known(place, latest[place].values(), group[0].at, problems)
            key = self._key(group[0], finals)
            finals += isinstance(key, tuple) and key[0] == "last"
            yield Billing(key, group[0].at, known)

    def _order(self, closed: Sequence[Row[Any]]) -> tuple[int, datetime]:
        """Return what comes first: clocks differ, and the order of cycles is certain."""
        at, last = closed[0].at, max(row.n for row in closed)
        of_cycles = [each.n for each in self.cycles if each.opened_at == at and each.n > last]
        return min(of_cycles, default=LAST), at

    def _key(self, closing: Row[Any], finals: int) -> object:
        """Return how the model calls an invoice: a period's, or one that bills nothing else."""
        if closing.invoice_id is None:
            return None
        invoice = self.invoices[closing.invoice_id]
        if invoice.kind != "final":
            return invoice.n
        return final_key(invoice, self.cycles) or ("last", finals)

    def _known(
        self, place: Place, closed: Any, at: datetime, problems: list[str]
    ) -> frozenset[Used]:
        """Return the events that closings billed; what was sent just then may be among them."""
        ids = sum(int(row.id_sum) for row in closed) % 2**128
        wanted = (sum(row.events for row in closed), ids)
        known = self._of_place[place]
        sure = [each for each in known if each.sure + APART <= at]
        doubtful = [each for each in known if each not in sure and each.since <= at + HELD_UP]
        for some in _subsets(doubtful):
            found = [*sure, *some]
            if (len(found), sum(each.used.id for each in found) % 2**128) == wanted:
                return frozenset(each.used for each in found)
        problems.append(
            f"usage of period {place[0]} ({place[1]}) was closed on {at} with {wanted[0]} events:"
            f" {len(sure)} were there, and {len(doubtful)} came then"
        )
        return frozenset(each.used for each in sure)

    # --- what is wrong --------------------------------------------------------------------------

    def problems(self, usage: Usage, expected: Mapping[object, Invoice]) -> Iterator[str]:
        """Yield what is wrong."""
        yield from usage.problems
        yield from self._counted_right(usage)
        yield from self._billed_in_time(usage)
        yield from self._refused_rightly(usage)
        billed = {key for key in (each.key for each in usage.billings) if isinstance(key, tuple)}
        for key in billed - expected.keys():
            yield f"the invoice {key} has usage, and none was expected"

    def _counted_right(self, usage: Usage) -> Iterator[str]:
        """Each event that was counted is so once a meter, in the period of its instant."""
        rows = defaultdict(list)
        for row in self.tables.events[self.subscription.id]:
            rows[row.id.int].append((row.n, row.meter))
        for known in self._counted.values():
            used = known.used
            wanted = sorted(
                (period.n, run.item.meter)
                for period in usage.periods.values()
                for run in runs(period)
                if run.start <= used.at < run.end and METERS[run.item.meter].event == used.event
            )
            found = sorted(rows.pop(used.id, []))
            if found != wanted and not self._is_at_the_end(used):
                yield f"{used.event} of {used.at} counts as {found}, expected {wanted}"
        for found in rows.values():
            yield f"an event counts as {found}, and nobody was told so"

    def _is_at_the_end(self, used: Used) -> bool:
        ended = self.subscription.canceled_at
        return ended is not None and used.at >= ended - HELD_UP

    def _billed_in_time(self, usage: Usage) -> Iterator[str]:
        """Each event is billed with the next cycle at the latest, or after the end."""
        seen: dict[tuple[Place, int], datetime] = {}
        for billing in usage.billings:
            for place, known in billing.known.items():
                for used in known:
                    seen.setdefault((place, used.id), billing.at)
        for (n, meter), counted in self._of_place.items():
            for each in counted:
                deadline = self._deadline(n, each.sure + APART)
                at = seen.get(((n, meter), each.used.id))
                if deadline is not None and (at is None or at > deadline):
                    yield (
                        f"{each.used.event} of {each.used.at} ({meter}) was sent by {each.sure},"
                        f" and is billed on {at}, expected by {deadline}"
                    )

    def _deadline(self, n: int, known: datetime) -> datetime | None:
        """Return when usage is billed at the latest that is known by an instant."""
        found = [
            cycle.opened_at
            for cycle in self.cycles
            if cycle.n > n and cycle.kind not in ("skipped", "trial") and cycle.opened_at >= known
        ]
        return min(found, default=None)

    def _refused_rightly(self, usage: Usage) -> Iterator[str]:
        for fact in self._sent:
            for each in fact.sent:
                if each.outcome in COUNTED or self._may_be_refused(fact, each, usage):
                    continue
                at = each.row["at"]
                yield f"{each.row['event']} of {at} was refused on {fact.at}: {each.outcome}"

    def _may_be_refused(self, fact: "Fact", sent: Sent, usage: Usage) -> bool:
        at = datetime.fromisoformat(sent.row["at"])
        kinds = {each.event.kind for each in self.facts}
        periods = sorted(usage.periods.values(), key=lambda period: period.n)
        made = next(each.at for each in self.facts if each.event.kind == "subscribe")
        is_sold = self._is_sold(sent.row, periods)
        reasons = {
            "conflicting": sent.row["properties"]["n"] == TAKEN or self._is_taken(sent),
            "too_old": fact.answered - at > min(_lateness(usage)),
            "not_started": at < periods[0].start,
            "unknown_subscription": fact.at < made + HELD_UP
            or ("customer" in sent.row and not is_sold),
            "paused": "pause" in kinds,
            "canceled": self.subscription.ended_by is not None or "cancel" in str(kinds),
            "unpaid": self.subscription.status in ("unpaid", "canceled"),
            "not_sold": not is_sold,
            "unknown_event": not is_sold,
        }
        return reasons.get(sent.outcome, False)

    def _is_sold(self, row: UsageRow, periods: Sequence[Ran]) -> bool:
        """Tell whether an event certainly counts on something that is held at its instant."""
        at = datetime.fromisoformat(row["at"])
        return any(
            METERS[run.item.meter].event == row["event"]
            for period in periods
            for run in runs(period)
            if run.start + HELD_UP <= at < run.end - HELD_UP
        )

    def _is_taken(self, sent: Sent) -> bool:
        used = _used(sent.row)
        counted = self._counted.get(used.id)
        return counted is not None and counted.used != used


def _subsets(doubtful: Sequence[_Counted]) -> Iterator[Sequence[_Counted]]:
    """Yield what a closing may have seen: some events, or some batches where there are many."""
    parts = [[each] for each in doubtful]
    if len(parts) > IN_DOUBT:
        parts = [
            [each for each in doubtful if each.batch == batch]
            for batch in sorted({each.batch for each in doubtful})
        ][:IN_DOUBT]
    for count in range(len(parts) + 1):
        for some in combinations(parts, count):
            yield [each for part in some for each in part]


def _lateness(usage: Usage) -> list[timedelta]:
    days = {run.item.late_days for period in usage.periods.values() for run in runs(period)}
    return [timedelta(days=each) for each in days] or [timedelta()]


def final_key(invoice: Row[Any], cycles: Sequence[Row[Any]]) -> tuple[str, int] | None:
    """Return how the model calls the invoice of usage before a pause; None after an end."""
    for cycle in cycles:
        if cycle.kind == "paused" and cycle.opened_at == invoice.issued_at:
            return "final", cycle.n
    return None


def _used(row: UsageRow) -> Used:
    properties = row["properties"]
    return Used(
        UUID(row["id"]).int,
        datetime.fromisoformat(row["at"]),
        row["event"],
        Fraction(properties["n"]),
        properties["user"],
    )


_CLOSINGS: Final = text(
    "SELECT subscription_id, meter, n, segment, revision, events, id_sum, invoice_id, at"
    "  FROM usage_closings ORDER BY subscription_id, at, invoice_id, n, meter, segment"
)
_EVENTS: Final = text("SELECT subscription_id, id, meter, n FROM usage_events ORDER BY at, id")


def _split(closed: Iterable[Row[Any]]) -> list[list[Row[Any]]]:
    """Split what was closed at one instant by invoice; free segments go with the others."""
    groups: dict[UUID | None, list[Row[Any]]] = defaultdict(list)
    for row in closed:
        groups[row.invoice_id].append(row)
    free = groups.pop(None, [])
    for group in groups.values():
        places = {(row.n, row.meter) for row in group}
        group.extend(row for row in free if (row.n, row.meter) in places)
        free = [row for row in free if (row.n, row.meter) not in places]
    return [*groups.values(), *([free] if free else [])]
