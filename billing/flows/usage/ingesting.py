"""Taking events of usage in: each is counted once, or refused with a reason.

A batch is one transaction, unless something that it needs changed meanwhile: then what is left of
it is another one. Whoever got no answer sends the batch again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing.crash_points import CrashPoint, reached
from billing.errors import Unavailable
from billing.flows.cycles.collecting import collected_later
from billing.flows.usage.book import Known, Subject, UsageBook, subject_of
from billing.rules.usage import BATCH_MAX, UsageEvent, UsageRefusal, read_event
from billing.rules.usage_counting import Counted, counted
from billing.store.engine import is_deadlock
from billing.store.usage import adding
from billing.store.usage.adding import Added, NewUsage, Seen, UsageBatch

_ATTEMPTS: Final = 10
_BY_WHAT_IS_KNOWN: Final = frozenset(
    {
        UsageRefusal.UNKNOWN_SUBSCRIPTION,
        UsageRefusal.AMBIGUOUS,
        UsageRefusal.NOT_SOLD,
        UsageRefusal.UNKNOWN_EVENT,
        UsageRefusal.NOT_STARTED,
        UsageRefusal.TOO_OLD,
        UsageRefusal.PAUSED,
        UsageRefusal.UNPAID,
        UsageRefusal.CANCELED,
    }
)
_READ_TWICE: Final = Seen("", -1)
"""How a subscription never is: under two names it was read at two times, and changed between."""


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event of a batch that isn't counted, by its place in it."""

    index: int
    reason: UsageRefusal


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """What became of a batch, by the places of events in it.

    `repeated` were counted before; `conflicting` came before with another instant or payload, and
    aren't counted. `late` of those accepted count for a period whose usage was billed.
    """

    accepted: int = 0
    late: int = 0
    repeated: tuple[int, ...] = ()
    conflicting: tuple[int, ...] = ()
    refused: tuple[RefusedEvent, ...] = ()


@dataclass(slots=True)
class _Intake:
    """A batch on its way: what waits to be counted, and what was decided of the others.

    `outcomes` are those that aren't recorded yet.
    """

    waiting: dict[UUID, UsageEvent] = field(default_factory=dict)
    places: dict[UUID, int] = field(default_factory=dict)
    refused: dict[int, UsageRefusal] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)
    conflicting: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    late: int = 0

    def take(self, rows: Sequence[Any]) -> None:
        """Read the rows. Of an id that comes twice, the first one is to be counted."""
        for place, row in enumerate(rows):
            event = read_event(row)
            if isinstance(event, UsageRefusal):
                self.refuse(place, event)
            elif event.id not in self.places:
                self.places[event.id] = place
                self.waiting[event.id] = event
            elif event == self.waiting.get(event.id):
                self.repeated.append(place)
                self.outcomes["repeated"] += 1
            else:
                self.conflicting.append(place)
                self.outcomes["conflicting"] += 1

    def refuse(self, place: int, reason: UsageRefusal) -> None:
        """Note that an event isn't counted."""
        self.refused[place] = reason
        self.outcomes[str(reason)] += 1

    def refuse_event(self, event: UsageEvent, reason: UsageRefusal) -> None:
        """Note that an event isn't counted, which waited to be."""
        del self.waiting[event.id]
        self.refuse(self.places[event.id], reason)

    def settle(self, added: Added) -> None:
        """Note what became of those that waited; some may have to wait on."""
        waited, self.outcomes = self.waiting, Counter()
        self.waiting = {one: waited[one] for one in added.again}
        self.repeated += [self.places[one] for one in added.repeated]
        self.conflicting += [self.places[one] for one in added.conflicting]
        for one in added.sealed:
            self.refused[self.places[one]] = UsageRefusal.TOO_OLD
        others = len(added.repeated) + len(added.conflicting) + len(added.sealed)
        self.accepted += len(waited) - len(self.waiting) - others
        self.late += added.late

    def answer(self) -> UsageAnswer:
        """Return what became of the batch."""
        return UsageAnswer(
            self.accepted,
            self.late,
            tuple(sorted(self.repeated)),
            tuple(sorted(self.conflicting)),
            tuple(RefusedEvent(place, self.refused[place]) for place in sorted(self.refused)),
        )


def ingest(
    engine: Engine, book: UsageBook, rows: Sequence[Any], now: datetime, *, dry_run: bool = False
) -> UsageAnswer:
    """Count the events of a batch, at most `BATCH_MAX` rows, as they were read from JSON.

    A dry run says what would become of them. Raises: Unavailable, when what the batch needs changes
    all the time.
    """
    if len(rows) > BATCH_MAX:
        raise ValueError(f"a batch has at most {BATCH_MAX} events, not {len(rows)}")
    intake = _Intake()
    with collected_later(), _connected(engine, dry_run=dry_run) as conn:
        intake.take(rows)
        for attempt in range(_ATTEMPTS):
            batch = _batch(conn, intake, book, now, twice=attempt > 0)
            added = _added(conn, batch, now)
            if added is not None and added.stale:
                book.forget(added.stale)
            elif added is not None:
                intake.settle(added)
                reached(CrashPoint.USAGE_COUNTED)
                if not intake.waiting:
                    return intake.answer()
    raise Unavailable("what usage is sent for changes all the time", where="usage")


def _connected(engine: Engine, *, dry_run: bool) -> Connection:
    """Open a connection that commits each statement, or none."""
    level = "READ COMMITTED" if dry_run else "AUTOCOMMIT"
    return engine.connect().execution_options(isolation_level=level)


def _added(conn: Connection, batch: UsageBatch, now: datetime) -> Added | None:
    """Add a batch; None when another transaction was in its way, and it can be tried again."""
    try:
        return adding.add(conn, batch, now)
    except IntegrityError as error:
        if adding.is_raced(error):
            return None
        raise
    except DBAPIError as error:
        if is_deadlock(error):
            return None
        raise


def _batch(
    conn: Connection, intake: _Intake, book: UsageBook, now: datetime, *, twice: bool
) -> UsageBatch:
    """Decide about every event that waits, by what is known, or is read now."""
    read = _read_unknown(conn, intake, book, now)
    decided = {event.id: _decide(event, book, now) for event in intake.waiting.values()}
    doubtful = {
        subject_of(intake.waiting[one])
        for one, found in decided.items()
        if isinstance(found, UsageRefusal) and found in _BY_WHAT_IS_KNOWN
    } - read
    if doubtful:
        book.read(conn, doubtful, now)
        for event in intake.waiting.values():
            if subject_of(event) in doubtful:
                decided[event.id] = _decide(event, book, now)
    rows: list[NewUsage] = []
    seen: dict[UUID, Seen] = {}
    for event in list(intake.waiting.values()):
        found = decided[event.id]
        if isinstance(found, UsageRefusal):
            intake.refuse_event(event, found)
        else:
            known, on_meters = found
            if seen.setdefault(known.subscription.id, known.seen) != known.seen:
                seen[known.subscription.id] = _READ_TWICE
            rows += _rows(event, known.subscription.id, on_meters)
    return UsageBatch(rows, seen, intake.outcomes, twice)


def _read_unknown(
    conn: Connection, intake: _Intake, book: UsageBook, now: datetime
) -> set[Subject]:
    subjects = {subject_of(event) for event in intake.waiting.values()}
    unknown = {each for each in subjects if book.find(each) is None}
    book.read(conn, unknown, now)
    return unknown


_Decided = tuple[Known, tuple[Counted, ...]] | UsageRefusal


def _decide(event: UsageEvent, book: UsageBook, now: datetime) -> _Decided:
    known = book.find(subject_of(event)) or UsageRefusal.UNKNOWN_SUBSCRIPTION
    if isinstance(known, UsageRefusal):
        return known
    found = counted(event, known.subscription, now)
    if isinstance(found, UsageRefusal):
        is_unknown = found is UsageRefusal.NOT_SOLD and not book.counts(event.name)
        return UsageRefusal.UNKNOWN_EVENT if is_unknown else found
    return known, found


def _rows(
    event: UsageEvent, subscription_id: UUID, on_meters: tuple[Counted, ...]
) -> list[NewUsage]:
    payload = event.payload(subscription_id)
    return [
        NewUsage(
            event.id,
            event.at,
            payload,
            subscription_id,
            each.meter,
            each.n,
            each.segment,
            each.value,
            each.key,
            first=place == 0,
        )
        for place, each in enumerate(on_meters)
    ]
