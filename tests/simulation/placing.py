"""Where customers are: how it is said, and at which rates their invoices may be taxed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from tests.simulation.pricing import HELD_UP
from tests.simulation.selling import OPERATOR
from tests.simulation.taxing import PLACES, percent_at

if TYPE_CHECKING:
    from tests.simulation.asking import Asked, Asking, Fact


def say_place(by: "Asking", asked: "Asked") -> None:
    """Say where a customer is, from now on."""
    place = PLACES[asked.event.place]
    order = TaxFactsOrder(
        f"c{asked.event.customer}",
        country=place.country,
        vat_id=place.vat_id or None,
        exempt=place.exempt or None,
    )
    with by.runtime.engine.begin() as conn:
        set_facts(conn, order, now=asked.at, actor=OPERATOR)


@dataclass(frozen=True)
class Places:
    """Where a customer was when, by what was carried out."""

    facts: Sequence["Fact"]
    taxed: bool

    def percents(self, at: datetime, zone: str) -> list[Fraction]:
        """Return the rates at which something may be taxed that is invoiced then; none untaxed.

        There is one, unless it was said just then where the customer is.
        """
        if not self.taxed:
            return []
        day = at.astimezone(ZoneInfo(zone)).date()
        return list(dict.fromkeys(percent_at(PLACES[each], day) for each in self._at(at)))

    def _at(self, at: datetime) -> list[str]:
        said = [
            each
            for each in self.facts
            if each.event.kind == "tax facts"
            or (each.event.kind == "subscribe" and each.event.card)
        ]
        found: list[str] = []
        for fact in sorted(said, key=lambda each: max(each.moments)):
            if fact.event.kind == "subscribe" or max(fact.moments) + HELD_UP <= at:
                found = [fact.event.place]
            elif min(fact.moments) <= at:
                found.append(fact.event.place)
        return found
