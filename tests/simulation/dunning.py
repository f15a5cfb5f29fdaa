"""What has to hold where a card declines: how often, when, and what becomes of the subscription.

The model can't say which attempt meets which answer, because one card's answers are shared by all
that is charged to it. So rules are checked here over what the provider saw: its charges, with their
instants and answers. They come from the documentation of plans and of dunning.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Row

from tests.simulation.catalog import Product
from tests.simulation.wires import CLOCKS, Json

HARD: Final = frozenset({"lost_card", "stolen_card"})
FINAL: Final = HARD | {"expired_card"}
ATTEMPTS: Final = 8
WINDOW: Final = timedelta(days=30)
AT_ONCE: Final = 3  # workers, who may each have begun an attempt before one was declined
HOUR: Final = timedelta(hours=1)  # what a change of the clocks takes from a civil day
DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Attempt:
    """A charge that the provider declined."""

    at: datetime
    payment: str
    card: str
    code: str


@dataclass(frozen=True)
class Debtor:
    """A subscription, its cycles with their payments, and what was asked for meanwhile.

    `asked` are the instants of new cards and of retries by hand; `down` are the downtimes.
    """

    product: Product
    row: Row[Any]
    cycles: Sequence[Row[Any]]
    declines: Sequence[Attempt]
    paid_at: dict[str, datetime]
    asked: Sequence[datetime]
    resumed: Sequence[datetime]
    down: Sequence[tuple[datetime, timedelta]]
    pays_now: datetime | None
    now: datetime

    def problems(self) -> Iterator[str]:
        """Yield what is wrong."""
        of_payment = defaultdict(list)
        for each in self.declines:
            of_payment[each.payment].append(each)
        for cycle in self.cycles:
            # After the end of a ladder usage is owed, and is tried to be collected once.
            alone = cycle.kind == "final" and self.row.ended_by == "ladder"
            if cycle.payment_id is not None and not alone:
                yield from self._attempts(cycle, of_payment[str(cycle.payment_id)])
        yield from self._budget()
        yield from self._end()
        yield from self._standing()

    # --- attempts -------------------------------------------------------------------------------

    def _attempts(self, cycle: Row[Any], declines: Sequence[Attempt]) -> Iterator[str]:
        steps = [timedelta(days=days) for days in self.product.ladder]
        extra = len(self.asked)
        if len(declines) > len(steps) + 1 + extra:
            yield f"period {cycle.n} was declined {len(declines)} times"
        for n, (one, other) in enumerate(pairwise(declines)):
            if any(one.at - CLOCKS <= at <= other.at + CLOCKS for at in self.asked):
                continue
            if one.code in FINAL and one.card == other.card:
                yield f"period {cycle.n} is tried again after {one.code} on {one.at}"
            elif not extra and n < len(steps) and other.at - one.at < steps[n] - CLOCKS - HOUR:
                yield f"period {cycle.n} is tried again on {other.at}, {one.at} was the last time"
        if cycle.state == "CREATED" and declines:
            yield from self._lasts_too_long(cycle, declines, sum(steps, timedelta()))
        if cycle.invoice_status == "uncollectible" and not self.asked:
            yield from self._given_up_early(cycle, declines, sum(steps, timedelta()))

    def _given_up_early(
        self, cycle: Row[Any], declines: Sequence[Attempt], ladder: timedelta
    ) -> Iterator[str]:
        """Who may still pay, with another card too, has the whole ladder."""
        if any(each.code in HARD for each in self.declines) or not declines:
            return
        until = declines[0].at + ladder - CLOCKS - HOUR
        if cycle.resolved_at < until:
            yield f"period {cycle.n} was given up on {cycle.resolved_at}, before {until}"

    def _lasts_too_long(
        self, cycle: Row[Any], declines: Sequence[Attempt], ladder: timedelta
    ) -> Iterator[str]:
        """The ladder's days are over: whoever held attempts back doesn't put that off."""
        began = max([declines[0].at, *(at for at in self.asked if at <= self.now)])
        down = sum((days for at, days in self.down if at + days >= began), timedelta())
        if self.now - began > ladder + down + 2 * DAY:
            yield f"period {cycle.n} is in dunning since {began}"

    def _budget(self) -> Iterator[str]:
        """A card's limit of attempts; what a person asks for doesn't count against it."""
        if self.asked:
            return
        of_card = defaultdict(list)
        for each in self.declines:
            of_card[each.card].append(each.at)
        for card, at in of_card.items():
            times = sorted(at)
            for first, late in zip(times, times[ATTEMPTS + AT_ONCE :], strict=False):
                if late - first < WINDOW - CLOCKS:
                    yield f"{card} was declined more than {ATTEMPTS} times since {first}"

    # --- what becomes of the subscription -------------------------------------------------------

    def _paid_until(self, at: datetime) -> datetime | None:
        """Return the end of the last period that was paid by an instant, and is still."""
        ends = [
            cycle.period_end
            for cycle in self.cycles
            if cycle.kind not in ("change", "final")
            and (paid := self._paid_at(cycle)) is not None
            and paid <= at
            and not (cycle.state == "REFUNDED" or cycle.was_lost or cycle.given_back >= cycle.price)
        ]
        return max(ends, default=None)

    def _paid_at(self, cycle: Row[Any]) -> datetime | None:
        """Return when an invoice was paid: by credit alone, when it was issued."""
        if cycle.payment_id is None and cycle.invoice_status == "paid":
            at: datetime = cycle.opened_at
            return at
        return self.paid_at.get(str(cycle.payment_id))

    def _end(self) -> Iterator[str]:
        if self.row.status != "canceled" or self.row.ended_by != "ladder":
            return
        ended = self.row.canceled_at
        yield from self._ended_rightly(ended)
        if any(at > ended - CLOCKS for at in self.asked):
            return
        for cycle in self.cycles:
            used = cycle.kind == "final"  # what was used is owed
            if cycle.payment_id is not None and not used and cycle.sent_at > ended + CLOCKS:
                yield f"period {cycle.n} is collected after {ended}, when its ladder was over"

    def _ended_rightly(self, ended: datetime) -> Iterator[str]:
        """A debt was given up, nothing is paid for longer, and nothing begins any more."""
        until = self._paid_until(ended - CLOCKS)
        if until is not None and until > ended + CLOCKS:
            yield f"it was canceled on {ended} for a debt, and is paid until {until}"
        late = [each for each in self.cycles if each.period_start > ended + CLOCKS]
        if late:
            yield f"it was canceled on {ended} for a debt, and period {late[0].n} was opened"
        if not any(each.given_up_at for each in self.cycles):
            yield f"it was canceled on {ended} for a debt, and nothing was given up"

    def _standing(self) -> Iterator[str]:
        """The status says what is owed."""
        status = self.row.status
        asked_in_vain = {each.payment for each in self.declines}
        due = [
            cycle
            for cycle in self.cycles
            if cycle.state == "CREATED"
            and (cycle.decline_class is not None or str(cycle.payment_id) in asked_in_vain)
        ]
        lost = [cycle for cycle in self.cycles if cycle.invoice_status == "uncollectible"]
        if due and status in ("active", "trialing"):
            yield f"it is {status}, and period {due[0].n} was declined"
        if status == "past_due" and not due:
            yield "it is past_due, and nothing that was declined is open"
        if self.pays_now is not None:
            yield from self._collected(self.pays_now)
        if lost and not self.asked and not self.resumed:
            yield from self._given_up(lost[-1])

    def _collected(self, since: datetime) -> Iterator[str]:
        """Whoever has a card that pays owes nothing that is still collected."""
        if self.row.status == "canceled":
            return
        for cycle in self.cycles:
            if cycle.state == "CREATED" and cycle.opened_at < self.now - DAY:
                yield f"period {cycle.n} isn't paid, and the card of {since} pays"

    def _given_up(self, cycle: Row[Any]) -> Iterator[str]:
        """What follows from a debt that was given up, unless something else is paid for longer."""
        until = self._paid_until(self.now)
        if (until is not None and until > self.now) or self.row.cancels_at is not None:
            return
        wanted = "canceled" if self.product.then == "cancel" else "unpaid"
        if self.row.status not in (wanted, "canceled"):
            yield f"it is {self.row.status}, and period {cycle.n} was given up"


def declines_of(charges: Sequence[Json], payment_of: dict[str, str]) -> list[Attempt]:
    """Return the charges that were declined, oldest first."""
    return sorted(
        (
            Attempt(
                datetime.fromtimestamp(each["created"], UTC),
                payment_of[each["payment_intent"]],
                str(each["payment_method"]),
                str(each["outcome"].get("reason") or each["failure_code"]),
            )
            for each in charges
            if not each["paid"]
        ),
        key=lambda each: each.at,
    )
