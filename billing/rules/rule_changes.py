"""Periods that were opened by other rules of their zone than those of today.

An instant that was announced stays when a zone's rules change, so the periods around it differ from
their schedule as it is computed today. That is right, and an operator records it once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from billing.rules.periods import Period, ScheduledPeriod
from billing.rules.segments import Timetable

_MOVES_AT_MOST: Final = timedelta(
    days=1
)  # so far a zone moved that changed the side of the date line


@dataclass(frozen=True, slots=True)
class OpenedPeriod:
    """A period as it was opened, and as its schedule has it today."""

    n: int
    opened: Period
    due: ScheduledPeriod

    @property
    def differs(self) -> bool:
        """Whether it begins or ends elsewhere."""
        return self.opened != self.due.period

    @property
    def is_explained(self) -> bool:
        """Whether it differs by no more than a change of a zone's rules moves an instant."""
        starts, ends = (
            self.opened.start - self.due.period.start,
            self.opened.end - self.due.period.end,
        )
        return max(abs(starts), abs(ends)) <= _MOVES_AT_MOST


def compared(
    timetable: Timetable,
    opened: Iterable[tuple[int, datetime, datetime]],
    reanchored_from: datetime | None,
) -> Iterator[OpenedPeriod]:
    """Yield each period, given as number, start and end, with what its schedule has today.

    Those that ended by `reanchored_from` were opened by rules that were others; the one that starts
    there ends by today's. Raises: ScheduleError.
    """
    for n, start, end in opened:
        if reanchored_from is not None and end <= reanchored_from:
            continue
        due = timetable.nth(n)
        if start == reanchored_from:
            due = timetable.nth_from(n, start)
        yield OpenedPeriod(n, Period(start, end), due)
