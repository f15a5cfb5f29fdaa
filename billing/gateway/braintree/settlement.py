"""What Braintree pays out: movements and payouts, made of disbursed transactions and disputes.

There is no balance and no list of payouts. What a merchant account is paid on a day is one payout,
and each transaction and each step of a dispute in it is a movement. All are dated at the beginning
of that day.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final

from billing.errors import BadInput, Unavailable
from billing.gateway.braintree.disputes import Disputes, movements_of
from billing.gateway.braintree.fees import Fees
from billing.gateway.braintree.fields import Node, day, midnight, reference, several
from billing.gateway.braintree.kind import MOVEMENTS_LAG
from billing.gateway.braintree.movements import (
    Paid,
    kept_of,
    movement_of,
    payout_movement,
    payout_of,
)
from billing.gateway.braintree.reads import unreadable_object
from billing.gateway.objects import (
    BalanceTransaction,
    ListedPage,
    ProviderEvent,
    ProviderPayout,
    Unreadable,
)
from billing.gateway.untrusted import mapping, text
from billing.rules.money import Money

PAGE: Final = 200
# Few days of a small merchant are one search; a day of a large one is a search by itself.
DAYS_AT_ONCE: Final = 8
HELD_MAX: Final = 2_000
_DAY: Final = timedelta(days=1)


class Settlement(Disputes, Fees):
    """Lists movements and payouts, a day at a time, the newest first."""

    def list_balance_transactions(
        self,
        *,
        since: datetime | None,
        until: datetime | None = None,
        after: str | None = None,
        payout: str | None = None,
    ) -> Iterator[Sequence[BalanceTransaction]]:
        """Yield pages of movements, from `after` on towards older ones.

        A recent day whose fees aren't known yet is left out as a whole.
        """
        waits_for = after
        for paid in self._paid(since, until, payout):
            for page in _pages_of(self._with_payout(paid)):
                kept = page if waits_for is None else _behind(page, waits_for)
                if kept is None:
                    continue
                waits_for = None
                if kept or kept.unreadable:
                    yield kept
        if waits_for is not None:
            raise Unavailable(
                f"the movement {waits_for[:80]} isn't listed any more",
                where="Braintree",
                remedy="list the whole window again",
            )

    def list_payouts(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[ProviderPayout]]:
        """Yield pages of payouts."""
        for paid in self._paid(since, until, None):
            movements, unreadable = self._with_payout(
                paid, fees_matter=self._fees_from_disbursement
            )
            if movements or unreadable:
                values = [payout_of(paid, each) for each in movements if each.source_id == paid.id]
                yield ListedPage(values, unreadable, paid.id)

    def payout_by_id(self, provider_payout_id: str) -> ProviderPayout | None:
        """Return the payout as it is now, or None."""
        for paid in self._paid(None, None, provider_payout_id):
            movements, unreadable = self._with_payout(
                paid, fees_matter=self._fees_from_disbursement
            )
            if unreadable:
                raise Unavailable(
                    f"the payout {paid.id} holds what can't be read: {unreadable[0].problem}",
                    where="Braintree",
                    remedy="look at it in the control panel",
                )
            return next(
                (payout_of(paid, each) for each in movements if each.source_id == paid.id), None
            )
        return None

    def list_events(
        self, *, since: datetime, undelivered_only: bool = False
    ) -> Iterator[Sequence[ProviderEvent]]:
        """Braintree lists no events. Raises: BadInput."""
        raise BadInput("Braintree lists no events", remedy="none: its webhooks bring them")

    def balance(self) -> Mapping[str, int]:
        """Braintree tells no balance. Raises: BadInput."""
        raise BadInput("Braintree tells no balance", remedy="none: its payouts are compared")

    def _paid(
        self, since: datetime | None, until: datetime | None, payout: str | None
    ) -> Iterator[Paid]:
        """Yield what was paid out, day by day. Raises: Unavailable, BadInput."""
        for days in _together(self._days(since, until, payout)):
            yield from (paid for paid in self._paid_on(days) if payout in (None, paid.id))

    def _days(
        self, since: datetime | None, until: datetime | None, payout: str | None
    ) -> Iterator[date]:
        """Yield the days whose beginning is in [since, until), the newest first."""
        if payout is not None:
            named = _day_of(payout)
            if named is not None:
                yield named
            return
        if since is None:
            raise BadInput(
                "movements are listed from some day on", remedy="say since when, or of which payout"
            )
        current = self._today() if until is None else _last_before(until)
        while midnight(current) >= since:
            yield current
            current -= _DAY

    def _today(self) -> date:
        """Return Braintree's own date. Raises: Unavailable, BadInput."""
        self._answers()
        answered_at = self._strategy.answered_at
        if answered_at is None:
            raise Unavailable("Braintree's answer has no date", remedy="try again in a while")
        return answered_at.astimezone(UTC).date()

    def _paid_on(self, days: Sequence[date]) -> Iterator[Paid]:
        """Yield what each merchant account is paid on some days in a row, the newest first.

        They are read at once, unless that is too much to hold.
        """
        found = self._read(days)
        if found is None:
            half = len(days) // 2
            yield from self._paid_on(days[:half])
            yield from self._paid_on(days[half:])
            return
        for on in days:
            yield from (found[key] for key in sorted(found) if key[0] == on)

    def _read(self, days: Sequence[date]) -> Mapping[tuple[date, str], Paid] | None:
        """Return what is paid by day and account; None where the days are too much to hold.

        One day is held however much it is, without what its movements don't need.
        """
        of: dict[tuple[date, str], Paid] = {}
        during = {"disbursement_date": {"min": days[-1], "max": days[0]}}
        held = 0
        found = self._searched("list_balance_transactions", "transactions", during)
        if found.is_full and len(days) > 1:
            return None
        for page in self._made_in(
            "list_balance_transactions", "transactions", during, None, None, found
        ):
            held += len(page)
            if held > HELD_MAX and len(days) > 1:
                return None
            for data in page:
                on = day(mapping(data.get("disbursement_details")), "disbursement_date") or days[0]
                _of(of, on, data).transactions.append(kept_of(data))
        for disputes in self._dispute_pages("list_balance_transactions", during):
            sales = self._sales_of(disputes)
            for data in disputes:
                for on in _days_of(data, days):
                    _add_dispute(_of(of, on, data), data, sales)
        return of

    def _with_payout(
        self, paid: Paid, *, fees_matter: bool = True
    ) -> tuple[Sequence[BalanceTransaction], Sequence[Unreadable]]:
        """Return the movements of a payout, its own first; none while a recent one isn't complete.

        Where fees don't matter, the movements have none.
        """
        is_recent = midnight(paid.on) > midnight(self._date()) - MOVEMENTS_LAG
        fees = self._fees_of(paid) if fees_matter else {}
        if is_recent and (fees is None or not (fees_matter or self._is_complete(paid))):
            return [], []
        if fees_matter and fees is None and paid.transactions:
            raise Unavailable(
                f"Braintree has no fee report of {paid.on} for {paid.account}",
                where="Braintree",
                remedy="try again in a while; if it stays, ask Braintree for the report",
            )
        movements, unreadable = list(paid.movements), list(paid.unreadable)
        for data in paid.transactions:
            try:
                movements.append(movement_of(paid, data, fees if fees_matter else None))
            except ValueError as error:
                unreadable.append(unreadable_object(data, error))
        if unreadable:
            problem = f"it holds {unreadable[0].id}, which can't be read"
            unreadable.append(Unreadable(paid.id, "payout", problem))
        movements.sort(key=lambda each: each.id)
        own = [] if unreadable else self._own_movements(paid, movements)
        return [*own, *movements], unreadable

    def _is_complete(self, paid: Paid) -> bool:
        return bool(paid.transactions) and self._has_report(paid.on, paid.account)

    def _fees_of(self, paid: Paid) -> Mapping[str, Money] | None:
        """Return the fees of a payout's transactions; None while there is no report of its day.

        The report comes when all of the day's transactions are shown. Disputes name their day
        in advance, and have no fees: by themselves they don't make a payout complete.
        """
        return self._fees(paid.on, paid.account) if paid.transactions else None

    def _date(self) -> date:
        """Return the date by Braintree's last answer. Raises: Unavailable, BadInput."""
        answered_at = self._strategy.answered_at
        return self._today() if answered_at is None else answered_at.astimezone(UTC).date()

    def _own_movements(
        self, paid: Paid, movements: Sequence[BalanceTransaction]
    ) -> Sequence[BalanceTransaction]:
        """Return the movements that are the payout itself, one a currency; there is one."""
        sums: dict[str, int] = defaultdict(int)
        for each in movements:
            sums[each.currency] += each.net if self._fees_from_disbursement else each.amount
        return [payout_movement(paid, -total, currency) for currency, total in sums.items()]


def _together(days: Iterator[date]) -> Iterator[Sequence[date]]:
    """Yield days that are read at once."""
    while some := list(islice(days, DAYS_AT_ONCE)):
        yield some


def _of(found: dict[tuple[date, str], Paid], on: date, data: Node) -> Paid:
    account = text(data, "merchant_account_id") or ""
    return found.setdefault((on, account), Paid(on, account))


def _days_of(data: Node, days: Sequence[date]) -> Sequence[date]:
    """Return the days on which a dispute moves money, of those that are read."""
    named = {day(event, "disbursement_date") for event in several(data.get("status_history"))}
    return [on for on in days if on in named]


def _behind(
    page: ListedPage[BalanceTransaction], last_seen: str
) -> ListedPage[BalanceTransaction] | None:
    """Return what of a page comes after the last movement seen; None when that isn't in it."""
    if page.last_id == last_seen:
        return ListedPage([], [], last_seen)
    for n, each in enumerate(page):
        if each.id == last_seen:
            return ListedPage(page[n + 1 :], page.unreadable, page.last_id)
    return None


def _pages_of(
    listed: tuple[Sequence[BalanceTransaction], Sequence[Unreadable]],
) -> Iterator[ListedPage[BalanceTransaction]]:
    movements, unreadable = listed
    for start in range(0, len(movements), PAGE):
        some = movements[start : start + PAGE]
        yield ListedPage(some, (), some[-1].id)
    if unreadable:
        yield ListedPage([], unreadable, unreadable[-1].id)


def _add_dispute(paid: Paid, data: Node, sales: Mapping[str, Node]) -> None:
    of = reference(mapping(data.get("transaction")), "id") or ""
    try:
        paid.movements += movements_of(data, sales.get(of), paid.on)
    except ValueError as error:
        paid.unreadable.append(unreadable_object(data, error))


def _day_of(payout: str) -> date | None:
    try:
        return date.fromisoformat(payout.partition("_")[0])
    except ValueError:
        return None


def _last_before(until: datetime) -> date:
    """Return the last day that begins before an instant."""
    return (until.astimezone(UTC) - timedelta(microseconds=1)).date()
