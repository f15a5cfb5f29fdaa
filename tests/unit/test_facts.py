"""Facts beside a kind are stored as JSON has them."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from billing.rules.actor import Actor, ActorKind
from billing.rules.facts import as_json

ID = UUID("018f0000-0000-7000-8000-00000000000a")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (datetime(2026, 3, 1, 10, tzinfo=UTC), "2026-03-01T10:00:00+00:00"),
        (date(2026, 3, 1), "2026-03-01"),
        (ID, "018f0000-0000-7000-8000-00000000000a"),
        (Actor(ActorKind.CLI, "ada"), "cli:ada"),
        ("UTC", "UTC"),
        (8, 8),
        (None, None),
    ],
)
def test_a_fact_is_stored_as(value: object, stored: object) -> None:
    found = as_json({"fact": value})["fact"]

    assert (found, type(found)) == (stored, type(stored))
