"""What customers order beside their subscriptions: one-off invoices, and credit that they buy.

How it is asked for, and what of it is compared at the end.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.flows.invoices import buying, ordering
from billing.flows.invoices.ordering import InvoiceOrder, OrderedLine, ServiceDays
from tests.simulation import model
from tests.simulation.amounts import Line
from tests.simulation.events import Event
from tests.simulation.placing import Places
from tests.simulation.pricing import STEP
from tests.simulation.selling import OPERATOR, NothingThere, id_of
from tests.simulation.taxing import taxed

if TYPE_CHECKING:
    from tests.simulation.asking import Asked, Asking, Fact

ORDERED: Final = {"invoice": "one_off", "top up": "top_up"}
TRAVEL: Final = 200  # of a one-off invoice, beside what it is for


# --- how it is asked for ------------------------------------------------------------------------


def invoice(by: "Asking", asked: "Asked") -> None:
    """Issue a one-off invoice. Raises: NothingThere."""
    event, invoice_id = asked.event, id_of(by.simulation.seed, "invoice", asked.number)
    first = event.at.date()
    order = InvoiceOrder(
        f"c{event.who}",
        _currency(by, event),
        [OrderedLine("Set-up", event.amount), OrderedLine("Travel", TRAVEL)],
        ServiceDays(first, first + timedelta(days=event.days)) if event.days else None,
    )
    with by.runtime.engine.begin() as conn:
        made = ordering.create(conn, order, invoice_id, now=asked.at, policy=by.runtime.policy)
    asked.moments.append(made.issued_at)


def top_up(by: "Asking", asked: "Asked") -> None:
    """Issue an invoice of credit. Raises: NothingThere."""
    event, invoice_id = asked.event, id_of(by.simulation.seed, "top up", asked.number)
    order = buying.TopUpOrder(
        f"c{event.who}",
        event.amount,
        _currency(by, event),
        priority=event.priority,
        valid_days=event.days or None,
    )
    with by.runtime.engine.begin() as conn:
        made = buying.buy(
            conn, order, invoice_id, now=asked.at, actor=OPERATOR, policy=by.runtime.policy
        )
    asked.moments.append(made.issued_at)


def _currency(by: "Asking", event: Event) -> str:
    with by.runtime.engine.connect() as conn:
        found = conn.execute(_CURRENCY, {"reference": f"s{event.who}"}).scalar()
    if found is None:
        raise NothingThere("there is no such customer")
    return str(found)


_CURRENCY: Final = text("SELECT currency FROM subscriptions WHERE external_id = :reference")


# --- what is compared ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ordered:
    """What a customer ordered: what was carried out, and the rows that came of it.

    `received` is what the provider took, by payment. Who `pays` never owed anything.
    """

    seed: object
    facts: Sequence["Fact"]
    rows: Sequence[Row[Any]]
    received: Mapping[str, int]
    pays: bool
    places: Places

    def problems(self) -> Iterator[str]:
        """Yield what is wrong."""
        rows = {row.id: row for row in self.rows}
        for fact in self.facts:
            if fact.event.kind in ORDERED:
                what = f"{fact.event.kind} {fact.number}"
                row = rows.pop(self._id(fact), None)
                if row is None:
                    yield f"{what} of {fact.at} was issued, and isn't there"
                else:
                    yield from self._as_ordered(what, fact, row)
                    yield from self._paid(what, row)
        for row in rows.values():
            yield f"invoice {row.number} of {row.total} was issued, and nobody asked for it"

    def _id(self, fact: "Fact") -> UUID:
        return id_of(self.seed, fact.event.kind, fact.number)

    def _as_ordered(self, what: str, fact: "Fact", row: Row[Any]) -> Iterator[str]:
        event = fact.event
        totals = [event.amount] if event.kind == "top up" else self._totals(event, row)
        total = next((each for each in totals if each == row.total), totals[0])
        if (row.kind, row.total) != (ORDERED[event.kind], total):
            yield f"{what} is {row.kind} of {row.total}, {total} was asked for"
        if row.issued_at not in fact.moments:
            yield f"{what} was issued on {row.issued_at}, asked for on {fact.at}"
        if event.kind != "top up":
            return
        if row.credit:
            yield f"{what} is paid by {row.credit} of credit"
        wanted = (total, event.priority) if row.status == "paid" else (None, None)
        if (row.granted, row.priority) != wanted:
            yield f"{what} is {row.status} and gave {row.granted} of credit, expected {wanted}"
        if row.granted is not None and row.expires_at != self._expires(event, row):
            yield f"{what} was granted on {row.granted_at}, and expires on {row.expires_at}"

    def _totals(self, event: Event, row: Row[Any]) -> list[int]:
        """Return what a one-off invoice may come to, with its taxes."""
        lines = [Line("setup", event.amount), Line("travel", TRAVEL)]
        step = STEP.get(row.currency, 1)
        percents = self.places.percents(row.issued_at, "UTC")
        ways = [taxed(lines, percent, step) for percent in percents] or [tuple(lines)]
        return [sum(line.total for line in way) for way in ways]

    def _expires(self, event: Event, row: Row[Any]) -> datetime | None:
        at: datetime = row.granted_at
        return at + timedelta(days=event.days) if event.days else None

    def _paid(self, what: str, row: Row[Any]) -> Iterator[str]:
        received = self.received[str(row.payment_id)] if row.payment_id is not None else 0
        if received not in (0, row.due):
            yield f"{what} costs {row.due}, the provider took {received}"
        if (row.status == "paid") != (received == row.due):
            yield f"{what} is {row.status}, the provider took {received} of {row.due}"
        if self.pays and row.status != "paid":
            yield f"{what} is {row.status}, and the card pays"
        if row.status == "open" and row.next_attempt_at is None:
            yield f"{what} is not paid, and nothing follows"

    def granted(self) -> Iterator[model.Granted]:
        """Yield the credit that was bought."""
        events = {self._id(fact): fact.event for fact in self.facts if fact.event.kind == "top up"}
        for row in self.rows:
            event = events.get(row.id)
            if event is not None and row.granted is not None:
                yield model.Granted(
                    row.granted_at, event.amount, event.priority, self._expires(event, row)
                )

    @property
    def was_taken_back(self) -> bool:
        """Whether money went back that credit was bought with, and the credit with it."""
        return any(row.taken_back for row in self.rows)


def merged(
    subscribed: Sequence[tuple[Row[Any], model.Invoiced]], ordered: Sequence[Row[Any]]
) -> list[tuple[Row[Any], model.Invoiced]]:
    """Return all invoices that credit may pay, in the order in which they were issued.

    Those of the subscription have an order of their own; the journal says what came between. One
    that comes to nothing isn't in it, and has no credit.
    """
    others = [(row, model.Invoiced(row.issued_at, row.total)) for row in ordered]
    return among(subscribed, [each for each in others if each[0].kind == "one_off"])


def among(
    invoiced: Sequence[tuple[Row[Any], model.Invoiced]],
    others: Sequence[tuple[Row[Any], model.Invoiced]],
) -> list[tuple[Row[Any], model.Invoiced]]:
    """Return invoices with others of the same customer where the journal says that they came."""
    found = list(invoiced)
    booked = [each for each in others if each[0].entry]
    for row, each in sorted(booked, key=lambda other: -int(other[0].entry)):
        later = (n for n, (other, _) in enumerate(found) if _is_after(other, row))
        found.insert(next(later, len(found)), (row, each))
    return found


def _is_after(one: Row[Any], other: Row[Any]) -> bool:
    """Tell whether an invoice uses credit after another one.

    Of two subscriptions that are billed at one instant either may be the first, together or not:
    what they used tells.
    """
    by_use = [(row.due > 0, row.credit == 0) for row in (one, other)]
    if one.issued_at == other.issued_at and by_use[0] != by_use[1]:
        return by_use[0] > by_use[1]
    return bool((one.entry or 0) > other.entry)


def ordered_rows(conn: Connection, customer: UUID) -> Sequence[Row[Any]]:
    """Return the invoices of a customer that belong to no subscription."""
    return conn.execute(_ORDERED, {"id": customer}).all()


ENTRY: Final = "(SELECT e.id FROM ledger.entries e WHERE e.source_key = 'invoice_issued:' || i.id)"
_ORDERED: Final = text(
    "SELECT i.id, i.kind, i.number, i.currency, i.total, i.credit, i.due, i.status, i.issued_at,"
    f"       {ENTRY} AS entry, NULL AS change_id, p.id AS payment_id, p.next_attempt_at,"
    "       g.amount AS granted, g.priority, g.created_at AS granted_at, g.expires_at,"
    "       EXISTS (SELECT FROM credit_moves m WHERE m.grant_id = g.id"
    "                  AND m.kind IN ('refunded', 'restored')) AS taken_back,"
    "       (SELECT coalesce(sum(m.amount), 0) FROM credit_moves m"
    "          JOIN credit_grants s ON s.id = m.grant_id AND s.source = 'small'"
    "         WHERE m.invoice_id = i.id AND m.kind = 'applied') AS waived"
    "  FROM invoices i LEFT JOIN payments p ON p.invoice_id = i.id"
    "  LEFT JOIN credit_grants g ON g.invoice_id = i.id AND g.source = 'bought'"
    " WHERE i.customer_id = :id AND i.subscription_id IS NULL ORDER BY i.number"
)
