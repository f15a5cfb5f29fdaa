"""Usage in the close report: every event that was received is in one of its columns."""

import pytest

from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.queries import usage_closed
from billing.queries.usage_closed import MonthOfUsage, ReceivedUsage
from tests.scenarios import test_usage_billed
from tests.scenarios.test_usage_billed import METERED, use
from tests.scenarios.world import World


@pytest.fixture(autouse=True)
def _book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_usage_billed, "BOOK", UsageBook())


def read(world: World) -> tuple[ReceivedUsage, list[MonthOfUsage]]:
    with world.engine.connect() as conn:
        return usage_closed.received_usage(conn), list(usage_closed.by_month(conn))


def test_what_was_received_was_counted_repeated_or_refused(world: World) -> None:
    world.publish(METERED)
    ada = world.subscribed("team")
    world.run_until("2026-01-15")
    good = {"id": "a", "event": "search", "subscription": ada.reference,
            "at": "2026-01-14T00:00:00Z", "properties": {"n": "5"}}  # fmt: skip
    rows = [
        good, good, {**good, "at": "2026-01-13T00:00:00Z"}, {**good, "id": ""},
        {**good, "id": "b", "event": "x"}, {**good, "id": "c", "properties": {"n": "NaN"}},
    ]  # fmt: skip

    ingest(world.engine, UsageBook(), rows, world.now)

    received, _ = read(world)
    assert received == ReceivedUsage(
        received=6, accepted=1, late=0, repeated=1, conflicting=1, refused=3, counted=1,
        reasons={"no_id": 1, "unknown_event": 1, "bad_value": 1},
    )  # fmt: skip


def test_what_was_counted_is_billed_or_waits(world: World) -> None:
    world.publish(METERED)
    ada = world.subscribed("team")
    use(world, ada, "2026-01-05", 150, n=0)
    use(world, ada, "2026-01-06", 10, n=0)
    world.run_until("2026-02-02")
    use(world, ada, "2026-01-31", 7, n=0)
    use(world, ada, "2026-02-01", 9, n=1)

    _, (january, february) = read(world)
    assert (january.month, january.periods) == ("2026-01", 1)
    assert (january.counted, january.billed, january.late, january.waiting) == (3, 2, 0, 1)
    assert (february.counted, february.waiting) == (1, 1)

    world.run_until("2026-03-02")

    _, (january, february) = read(world)
    assert (january.counted, january.billed, january.late, january.waiting) == (3, 2, 1, 0)
    assert (february.counted, february.billed) == (1, 1)


def test_usage_of_a_free_trial_is_closed_unbilled(world: World) -> None:
    world.publish(METERED.replace('every = "1 month"', 'every = "1 month"\ntrial = "14 days"'))
    ada = world.subscribed("team")
    use(world, ada, "2026-01-05", 110, n=0)
    world.run_until("2026-01-20")

    _, (month,) = read(world)

    assert (month.counted, month.billed, month.unbilled, month.waiting) == (1, 0, 1, 0)
