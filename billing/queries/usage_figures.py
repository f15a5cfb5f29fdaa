"""Figures of usage: how many events were received, and what became of them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.queries.figures import Figure
from billing.queries.usage import alerted, received
from billing.rules.usage import UsageRefusal

_OUTCOMES: Final = ("accepted", "repeated", "conflicting")


def usage(conn: Connection, _now: datetime) -> Iterator[Figure]:
    """Yield the figures of usage."""
    found = received(conn)
    yield Figure(
        "billing_usage_events",
        "Events of usage that were received and not refused, by what became of them.",
        ("outcome",),
        [((outcome,), float(found.get(outcome, 0))) for outcome in _OUTCOMES],
    )
    yield Figure(
        "billing_usage_late_events",
        "Events that counted after the usage of their period was billed.",
        (),
        [((), float(found.get("late", 0)))],
    )
    yield Figure(
        "billing_usage_events_refused",
        "Events of usage that were refused, by reason.",
        ("reason",),
        [((str(reason),), float(found.get(str(reason), 0))) for reason in UsageRefusal],
    )
    yield Figure(
        "billing_usage_alerts",
        "How often usage of a period passed a threshold of what is included.",
        (),
        [((), float(alerted(conn)))],
    )
