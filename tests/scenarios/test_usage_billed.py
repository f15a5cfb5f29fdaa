"""Usage as it is billed: closed once a period, at what was agreed; and what comes late."""

import pytest
from sqlalchemy import text

from billing.flows.subscriptions import lifecycle, releasing
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.ids import new_id
from billing.rules.item_changes import Applies
from billing.rules.usage import UsageNumber
from tests.scenarios.test_item_changes import CLI, change
from tests.scenarios.world import Subscriber, World, at

METERED = """
product = "Search"

[[meter]]
code = "searches"
event = "search"
value = "n"
aggregate = "sum"

[[plan]]
code = "team"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "base"
    price = { USD = "30.00" }
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    included = 100
    unit = { USD = "0.10" }
"""

TRIAL = "2026-01-01 to 2026-01-14"

BOOK = UsageBook()


def use(
    world: World, customer: Subscriber, moment: str, units: int, *, n: int, segment: int = 0
) -> None:
    """Send one event when it happens, or later, and check in which period and segment it counts."""
    if at(moment) > world.now:
        world.run_until(moment)
    event_id = new_id()
    row = {
        "id": str(event_id), "event": "search", "subscription": customer.reference,
        "at": at(moment).isoformat(), "properties": {"n": UsageNumber(units)},
    }  # fmt: skip
    answer = ingest(world.engine, BOOK, [row], world.now)
    assert (answer.accepted, answer.refused) == (1, ())
    with world.engine.connect() as conn:
        query = text("SELECT n, segment FROM usage_events WHERE id = :id")
        assert tuple(conn.execute(query, {"id": event_id}).one()) == (n, segment)


def lines(world: World, customer: Subscriber) -> list[tuple[str, str, str, int]]:
    """Return kind of invoice, number, description and amount of every line, in order."""
    query = """
        SELECT i.kind, right(i.number, -11) AS number, l.description, l.amount
          FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id
         WHERE i.subscription_id = :id ORDER BY i.issued_at, i.number, l.line
    """
    with world.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), {"id": customer.subscription_id})]


def closings(world: World, customer: Subscriber) -> list[tuple[int, int, int, str, bool]]:
    """Return period, segment, revision, quantity of each closing, and whether an invoice has it."""
    query = """
        SELECT n, segment, revision, CAST(trim_scale(quantity) AS text), invoice_id IS NOT NULL
          FROM usage_closings WHERE subscription_id = :id ORDER BY at, n, segment, revision
    """
    with world.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query), {"id": customer.subscription_id})]


def issued_at(world: World, customer: Subscriber, kind: str = "cycle") -> list[str]:
    query = "SELECT issued_at FROM invoices WHERE subscription_id = :id AND kind = :kind ORDER BY 1"
    with world.engine.connect() as conn:
        found = conn.execute(text(query), {"id": customer.subscription_id, "kind": kind}).scalars()
        return [f"{each:%Y-%m-%d %H:%M}" for each in found]


def months(world: World, customer: Subscriber) -> list[tuple[str, int]]:
    """Return the lines of usage: without their item, and with their amount."""
    found = lines(world, customer)
    return [
        (description.removeprefix("searches, "), amount)
        for _, _, description, amount in found
        if description.startswith("searches")
    ]


def test_usage_is_billed_with_the_next_period_once_it_has_arrived(world: World) -> None:
    """SF-004: 30.00 in advance and 18.00 of usage in arrears are on one invoice."""
    world.publish(METERED)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 200, n=0)
    use(world, customer, "2026-02-01 00:30", 7, n=1)
    use(world, customer, "2026-01-31 23:59", 80, n=0)
    world.run_until("2026-02-01 00:59")
    assert len(issued_at(world, customer)) == 1
    world.run_until("2026-02-01 01:00")

    assert issued_at(world, customer) == ["2026-01-01 00:00", "2026-02-01 01:00"]
    assert lines(world, customer) == [
        ("cycle", "0000", "Team, 2026-01-01 to 2026-01-31", 3000),
        ("cycle", "0001", "Team, 2026-02-01 to 2026-02-28", 3000),
        ("cycle", "0001", "searches, 2026-01-01 to 2026-01-31", 1800),
    ]
    assert closings(world, customer) == [(0, 0, 1, "280", True)]
    world.assert_everything_adds_up()


def test_a_period_without_usage_has_a_line_of_nothing(world: World) -> None:
    """A flat part of a tier isn't charged without usage (TI-014 has it otherwise)."""
    tiers = """    tiers = "graduated"
    tier = [{ up_to = 10, unit = { USD = "1" }, flat = { USD = "5" } }, { unit = { USD = "2" } }]
"""
    world.publish(METERED.replace('    included = 100\n    unit = { USD = "0.10" }\n', tiers))
    customer = world.subscribed("team")

    world.run_until("2026-02-02")
    use(world, customer, "2026-02-01 12:00", 12, n=1)
    world.run_until("2026-03-02")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-31", 0), ("2026-02-01 to 2026-02-28", 500 + 1000 + 400),
    ]  # fmt: skip
    world.assert_everything_adds_up()


def test_late_usage_is_billed_with_the_next_invoice(world: World) -> None:
    """LU-001: each time all that is known of a period is priced, less what was billed before."""
    world.publish(METERED)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 105, n=0)
    world.run_until("2026-02-10")
    use(world, customer, "2026-01-30", 3, n=0)
    use(world, customer, "2026-02-05", 50, n=1)
    world.run_until("2026-03-02")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-31", 50), ("late usage of 2026-01-01 to 2026-01-31", 30),
        ("2026-02-01 to 2026-02-28", 0),
    ]  # fmt: skip
    assert closings(world, customer) == [
        (0, 0, 1, "105", True), (0, 0, 2, "108", True), (1, 0, 1, "50", True),
    ]  # fmt: skip
    world.run_until("2026-04-02")
    assert len(months(world, customer)) == 4
    world.assert_everything_adds_up()


VOLUME = """    tiers = "volume"
    tier = [{ up_to = 15, unit = { USD = "10" } }, { unit = { USD = "5" } }]
"""


def test_late_usage_that_makes_a_period_cheaper_is_given_back(world: World) -> None:
    """LU-006: 15 units at 10.00, then one more at a volume price of 5.00 for all: 70.00 back."""
    world.publish(METERED.replace('    included = 100\n    unit = { USD = "0.10" }\n', VOLUME))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 15, n=0)
    world.run_until("2026-02-10")
    use(world, customer, "2026-01-30", 1, n=0)
    world.run_until("2026-03-02")

    query = "SELECT n.total, i.number FROM credit_notes n JOIN invoices i ON i.id = n.invoice_id"
    with world.engine.connect() as conn:
        ((total, number),) = conn.execute(text(query)).all()
    assert (total, number[-4:]) == (7000, "0001")
    assert closings(world, customer)[1:] == [(0, 0, 2, "16", True), (1, 0, 1, "0", True)]
    world.run_until("2026-04-02")
    assert [due for _, _, what, due in lines(world, customer) if "Team" in what] == [3000] * 4
    with world.engine.connect() as conn:
        dues = conn.execute(text("SELECT due FROM invoices ORDER BY issued_at")).scalars().all()
    assert dues == [3000, 3000 + 15000, 3000, 0]
    world.assert_everything_adds_up()


def test_what_was_used_last_is_billed_after_the_end(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    world.run_until("2026-01-20")
    cancel(world, customer, at_period_end=True)
    use(world, customer, "2026-01-31 23:00", 150, n=0)
    world.run_until("2026-02-01 00:30")
    assert world.subscription(customer).status == "canceled"
    assert issued_at(world, customer, "final") == []

    world.run_until("2026-02-02")
    assert issued_at(world, customer, "final") == ["2026-02-01 01:00"]
    use(world, customer, "2026-01-31 23:00", 7, n=0)
    world.run_until("2026-04-01")

    assert lines(world, customer)[1:] == [
        ("final", "0001", "searches, 2026-01-01 to 2026-01-31", 500),
        ("final", "0001-1", "searches, late usage of 2026-01-01 to 2026-01-31", 70),
    ]
    assert world.psp.captures(customer) == 3
    world.assert_everything_adds_up()


def test_what_was_used_before_a_cancellation_at_once_is_owed(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 150, n=0)
    world.run_until("2026-01-20")
    cancel(world, customer, at_period_end=False)
    world.run_until("2026-01-21")

    assert lines(world, customer)[1:] == [
        ("final", "0001", "searches, 2026-01-01 to 2026-01-19 (19 of 31 days)", 500)
    ]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_who_used_nothing_last_gets_no_invoice_after_the_end(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    world.run_until("2026-01-20")
    cancel(world, customer, at_period_end=True)
    world.run_until("2026-04-01")

    assert issued_at(world, customer, "final") == []
    assert closings(world, customer) == [(0, 0, 1, "0", False)]
    world.assert_everything_adds_up()


@pytest.mark.parametrize(("bills", "billed"), [("", []), ("bills_trial = true", [(TRIAL, 100)])])
def test_usage_of_a_trial_is_billed_if_the_item_says_so(
    world: World, bills: str, billed: list[tuple[str, int]]
) -> None:
    plan = METERED.replace('every = "1 month"', 'every = "1 month"\ntrial = "14 days"')
    world.publish(plan.replace("included = 100", f"included = 100\n    {bills}"))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 110, n=0)
    world.run_until("2026-01-20")

    assert months(world, customer) == billed
    assert closings(world, customer) == [(0, 0, 1, "110", bool(billed))]
    world.assert_everything_adds_up()


def test_a_minimum_is_for_a_whole_period_and_for_a_stub_by_its_days(world: World) -> None:
    """MC-003 has 25 of 28 days; here a first period has 10 of 31."""
    plan = METERED.replace('every = "1 month"', 'every = "1 month"\nanchor_day = 11')
    world.publish(plan.replace("included = 100", 'minimum = { USD = "31.00" }'))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 20, n=0)
    world.run_until("2026-02-12")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-10 (10 of 31 days)", 200),
        ("2026-01-01 to 2026-01-10 (10 of 31 days), up to the minimum", 800),
        ("2026-01-11 to 2026-02-10", 0),
        ("2026-01-11 to 2026-02-10, up to the minimum", 3100),
    ]
    world.assert_everything_adds_up()


def test_usage_alone_is_billed_from_the_second_period_on(world: World) -> None:
    base = METERED[METERED.index('    [[plan.version.item]]\n    code = "base"') :]
    base = base[: base.index("    [[plan.version.item]]", 10)]
    world.publish(METERED.replace(base, ""))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 300, n=0)
    world.run_until("2026-02-02")

    assert lines(world, customer) == [("cycle", "0001", "searches, 2026-01-01 to 2026-01-31", 2000)]
    world.assert_everything_adds_up()


def test_what_was_used_before_a_pause_is_billed_when_it_begins(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 300, n=0)
    world.run_until("2026-01-20")
    lifecycle.pause(world.engine, customer.reference, now=world.now, actor=CLI, why="a holiday")
    world.run_until("2026-03-05")

    assert lines(world, customer)[1:] == [
        ("final", "0001", "searches, 2026-01-01 to 2026-01-31", 2000)
    ]
    world.assert_everything_adds_up()


def test_a_period_that_ends_as_it_begins_has_no_minimum(world: World) -> None:
    parks = METERED.replace('every = "1 month"\n', 'every = "1 month"\ncatch_up = "park"\n')
    world.publish(parks + '    minimum = { USD = "3.10" }\n')
    customer = world.subscribed("team")
    world.run_until("2026-01-31")
    world.jump_to("2026-03-01")
    world.run_until("2026-03-01")
    releasing.release_subscription(
        world.engine,
        customer.reference,
        missed="bill",
        now=world.now,
        actor=CLI,
        policy=world.policy,
    )
    cancel(world, customer, at_period_end=False)

    world.run_until("2026-03-05")

    assert issued_at(world, customer)[1:] == ["2026-03-01 00:00", "2026-03-01 00:00"]
    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-31", 0),
        ("2026-01-01 to 2026-01-31, up to the minimum", 310),
        ("2026-02-01 to 2026-02-28", 0),
        ("2026-02-01 to 2026-02-28, up to the minimum", 310),
    ]
    world.assert_everything_adds_up()


def cancel(world: World, customer: Subscriber, *, at_period_end: bool) -> None:
    lifecycle.cancel(
        world.engine,
        customer.reference,
        at_period_end=at_period_end,
        now=world.now,
        actor=CLI,
        why="a test",
    )


PRO = METERED[METERED.index("[[plan]]") :].replace('"team"', '"pro"').replace("30.00", "60.00")


def test_another_price_within_a_period_begins_a_segment(world: World) -> None:
    """No usage is charged under two prices, and what is included holds for each."""
    pro = PRO.replace("included = 100", "included = 10").replace("0.10", "0.05")
    world.publish(METERED + pro)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 150, n=0)
    world.run_until("2026-01-20")
    change(world, customer, Applies.NOW, plan="pro")
    use(world, customer, "2026-01-25", 110, n=0, segment=1)
    world.run_until("2026-02-10")
    use(world, customer, "2026-01-19", 1, n=0)
    use(world, customer, "2026-01-26", 2, n=0, segment=1)
    world.run_until("2026-03-02")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-19 (19 of 31 days)", 500),
        ("2026-01-20 to 2026-01-31 (12 of 31 days)", 500),
        ("late usage of 2026-01-01 to 2026-01-19 (19 of 31 days)", 10),
        ("late usage of 2026-01-20 to 2026-01-31 (12 of 31 days)", 10),
        ("2026-02-01 to 2026-02-28", 0),
    ]
    world.assert_everything_adds_up()


def test_tiers_go_on_where_a_change_leaves_the_item_as_it_is(world: World) -> None:
    """LU-012: a graduated price counts what was used before the change, too."""
    tiers = """    tiers = "graduated"
    tier = [{ up_to = 10, unit = { USD = "1" } }, { unit = { USD = "2" } }]
"""
    catalog = METERED + PRO
    world.publish(catalog.replace('    included = 100\n    unit = { USD = "0.10" }\n', tiers))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 8, n=0)
    world.run_until("2026-01-20")
    change(world, customer, Applies.NOW, plan="pro")
    use(world, customer, "2026-01-25", 4, n=0, segment=1)
    world.run_until("2026-02-02")

    assert months(world, customer) == [("2026-01-01 to 2026-01-31", 1000 + 400)]
    assert closings(world, customer) == [(0, 0, 1, "8", True), (0, 1, 1, "4", True)]
    world.assert_everything_adds_up()


def test_a_change_of_cadence_leaves_usage_to_the_invoice_after_it(world: World) -> None:
    world.publish(METERED + PRO.replace('every = "1 month"', 'every = "1 year"'))
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 150, n=0)
    world.run_until("2026-01-20")
    change(world, customer, Applies.NOW, plan="pro")
    assert months(world, customer) == []
    use(world, customer, "2026-01-21", 130, n=1)
    world.run_until("2027-01-21")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-19 (19 of 31 days)", 500), ("2026-01-20 to 2027-01-19", 300),
    ]  # fmt: skip
    world.assert_everything_adds_up()


def test_a_plan_with_meters_that_is_changed_to_is_billed_for_its_usage(world: World) -> None:
    flat = PRO[: PRO.index('    [[plan.version.item]]\n    code = "searches"')]
    world.publish(METERED + flat)
    customer = world.subscribed("pro")
    world.run_until("2026-01-20")
    change(world, customer, Applies.NOW, plan="team")
    use(world, customer, "2026-01-25", 110, n=0, segment=1)
    world.run_until("2026-02-01 00:30")
    assert len(issued_at(world, customer)) == 1
    world.run_until("2026-02-02")

    assert months(world, customer) == [("2026-01-20 to 2026-01-31 (12 of 31 days)", 100)]
    world.assert_everything_adds_up()
