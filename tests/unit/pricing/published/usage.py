"""Published quantities of usage, computed by ours from its events."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from billing.plans.meters import Aggregate
from billing.pricing import draft
from billing.rules.usage_quantities import MeteredSpan, quantity_of
from tests.oracles.counted_usage import OneEvent
from tests.oracles.counted_usage import counted as added_up
from tests.unit.pricing.published.figures import Found, Given, minor, shown
from tests.unit.pricing.values import charge, facts, unit_price


def counted(given: Given) -> Found:
    """Usage within a period: what happens at its end is of the next one."""
    start = _instant(given.get("period_start", "2000-01-01T00:00:00Z"))
    end = _instant(given.get("period_end", "2100-01-01T00:00:00Z"))
    events = [
        OneEvent(n, _instant(each["at"]), Fraction(each.get("value", "0")), each.get("key"))
        for n, each in enumerate(given["events"])
    ]
    total = added_up(each for each in events if start <= each.at < end)
    opening = Fraction(given.get("opening", "0"))
    span = MeteredSpan(start, end, start, end)
    quantity = quantity_of(Aggregate(given["aggregation"]), total, opening, span)
    found: dict[str, Any] = {"quantity": round(quantity, 5)}
    if "unit" in given:
        line = draft(facts(charge(unit_price(minor(given["unit"], given)), quantity))).lines[0]
        found["amount"] = shown(line.gross, given)
    if "opening" in given:
        found["closing"] = opening + total.sum
    return found


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
