"""Whoever is canceled at once while the next cycle waits owes what was used in its period."""

import pytest
from sqlalchemy import text

from billing.flows.subscriptions import lifecycle, releasing
from billing.rules.item_changes import Applies
from tests.scenarios.test_item_changes import CLI, change
from tests.scenarios.test_operators import cancel
from tests.scenarios.test_usage_billed import (
    METERED,
    closings,
    issued_at,
    lines,
    months,
    use,
)
from tests.scenarios.world import Subscriber, World

BOUNDED = METERED + '    minimum = { USD = "3.10" }\n    maximum = { USD = "62.00" }\n'


def waiting(world: World, catalog: str = METERED) -> Subscriber:
    """Return who is canceled half an hour after February began: it has no cycle."""
    world.publish(catalog)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 120, n=0)
    use(world, customer, "2026-02-01 00:10", 150, n=1)
    world.run_until("2026-02-01 00:30")
    cancel(world, customer)
    return customer


def test_usage_of_the_period_that_began_is_billed_without_its_advance_items(world: World) -> None:
    customer = waiting(world)

    world.run_until("2026-04-01")

    assert issued_at(world, customer) == ["2026-01-01 00:00"]
    assert issued_at(world, customer, "final") == ["2026-02-01 01:30"]
    assert lines(world, customer)[1:] == [
        ("final", "0001", "searches, 2026-01-01 to 2026-01-31", 200),
        ("final", "0001", "searches, 2026-02-01 to 2026-02-01 (1 of 28 days)", 500),
    ]
    assert closings(world, customer) == [(0, 0, 1, "120", True), (1, 0, 1, "150", True)]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_what_comes_late_of_it_is_billed_once_more(world: World) -> None:
    customer = waiting(world)
    world.run_until("2026-02-02")
    use(world, customer, "2026-02-01 00:20", 7, n=1)
    use(world, customer, "2026-01-31 23:50", 3, n=0)

    world.run_until("2026-04-01")

    assert sorted(lines(world, customer)[3:]) == [
        ("final", "0001-1", "searches, late usage of 2026-01-01 to 2026-01-31", 30),
        ("final", "0001-1", "searches, late usage of 2026-02-01 to 2026-02-01 (1 of 28 days)", 70),
    ]
    assert closings(world, customer)[2:] == [(0, 0, 2, "123", True), (1, 0, 2, "157", True)]
    world.assert_everything_adds_up()


def test_usage_that_comes_only_late_is_billed(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    world.run_until("2026-02-01 00:30")
    cancel(world, customer)
    world.run_until("2026-02-02")
    use(world, customer, "2026-02-01 00:20", 110, n=1)

    world.run_until("2026-04-01")

    assert closings(world, customer) == [(0, 0, 1, "0", False), (1, 0, 1, "110", True)]
    assert [amount for _, amount in months(world, customer)] == [100]
    world.assert_everything_adds_up()


def test_its_bounds_are_those_of_a_day(world: World) -> None:
    """January has 1.10 up to its minimum; 5.00 of February is over the maximum of a day, 2.21."""
    customer = waiting(world, BOUNDED)

    world.run_until("2026-04-01")

    assert [amount for _, amount in months(world, customer)] == [200, 110, 221]
    world.assert_everything_adds_up()


def test_it_has_the_terms_that_were_to_hold_from_its_begin(world: World) -> None:
    dearer = METERED.partition("[[plan]]")[2].replace('"team"', '"big"').replace("0.10", "0.20")
    world.publish(METERED + "\n[[plan]]" + dearer)
    customer = world.subscribed("team")
    use(world, customer, "2026-01-05", 120, n=0)
    change(world, customer, plan="big", applies=Applies.PERIOD_END)
    use(world, customer, "2026-02-01 00:10", 150, n=1)
    world.run_until("2026-02-01 00:30")
    cancel(world, customer)

    world.run_until("2026-04-01")

    assert [amount for _, amount in months(world, customer)] == [200, 1000]
    world.assert_everything_adds_up()


def test_usage_that_is_forgiven_is_no_finding(world: World) -> None:
    world.publish(METERED)
    customer = world.subscribed("team")
    use(world, customer, "2026-02-01 00:10", 150, n=1)
    lifecycle.cancel(
        world.engine,
        customer.reference,
        at_period_end=False,
        now=world.now,
        actor=CLI,
        why="ours to bear",
        forgive=True,
    )

    world.run_until("2026-04-01")

    assert issued_at(world, customer, "final") == []
    world.assert_everything_adds_up()


@pytest.mark.parametrize("until", ["2026-02-01 00:30", "2026-02-03"])
def test_usage_that_nothing_will_bill_is_a_finding(world: World, until: str) -> None:
    """The look after the end is taken away, before it was and between it and the last one."""
    customer = waiting(world)
    world.run_until(until)
    if until == "2026-02-03":
        use(world, customer, "2026-02-01 00:20", 1, n=1)
    assert not _left_unbilled(world), "it waits"

    with world.engine.begin() as conn:
        conn.execute(text("UPDATE subscriptions SET usage_due_at = NULL"))

    assert _left_unbilled(world)


def _left_unbilled(world: World) -> bool:
    return any("ended without an invoice to come" in each for each in world.findings())


def test_usage_of_a_first_period_that_is_never_opened_is_billed(world: World) -> None:
    """Nobody opens it until its subscription is canceled."""
    world.publish(METERED)
    customer = world.subscribed("team")
    world.jump_to("2026-01-01 00:20")
    use(world, customer, "2026-01-01 00:10", 150, n=0)
    cancel(world, customer)
    world.run_until("2026-01-02")
    assert not _left_unbilled(world)

    world.run_until("2026-04-01")

    assert lines(world, customer) == [
        ("final", "0000", "searches, 2026-01-01 to 2026-01-01 (1 of 31 days)", 500)
    ]
    assert closings(world, customer) == [(0, 0, 1, "150", True)]
    assert world.psp.captures(customer) == 1
    world.assert_everything_adds_up()


def test_what_an_add_on_takes_later_than_the_plan_is_billed(world: World) -> None:
    added = """
[[meter]]
code = "exports"
event = "search"
value = "n"
aggregate = "sum"

[[addon]]
code = "exports"
fits = ["team"]
  [[addon.version]]
  effective = 2026-01-01
  meter = "exports"
  price = { USD = "1.00" }
  late_for = "60 days"
"""
    plan = METERED.replace('event = "search"', 'event = "unused"', 1)
    plan = plan.replace("included = 100", 'included = 100\n    late_for = "5 days"')
    world.publish(plan + added)
    customer = world.subscribed("team", items={"exports": 1})
    world.run_until("2026-01-20")
    cancel(world, customer)
    world.run_until("2026-02-20")
    use(world, customer, "2026-01-19", 3, n=0)

    world.run_until("2026-04-01")

    assert [line[2:] for line in lines(world, customer)[1:]] == [
        ("Exports, late usage of 2026-01-01 to 2026-01-19 (19 of 31 days)", 300)
    ]
    world.assert_everything_adds_up()


def test_usage_of_several_periods_that_were_never_opened_is_billed(world: World) -> None:
    """A ladder ends the subscription before anybody decides about two periods that were missed."""
    parks = METERED.replace(
        'every = "1 month"\n',
        'every = "1 month"\nretry_after = ["30d"]\nthen = "cancel"\ncatch_up = "park"\n',
    )
    world.publish(parks)
    customer = world.subscribed("team", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-20")
    world.jump_to("2026-03-20")
    use(world, customer, "2026-02-20", 110, n=1)
    use(world, customer, "2026-03-05", 130, n=2)
    world.run_until("2026-03-21")
    releasing.release_subscription(
        world.engine,
        customer.reference,
        missed="bill",
        now=world.now,
        actor=CLI,
        policy=world.policy,
    )

    world.run_until("2026-05-30")

    assert months(world, customer) == [
        ("2026-01-01 to 2026-01-31", 0),
        ("2026-02-01 to 2026-02-28", 100),
        ("2026-03-01 to 2026-03-19 (19 of 31 days)", 300),
    ]
    world.assert_promises_hold()


def test_usage_behind_a_period_that_waits_counts_under_the_plan_of_its_own(world: World) -> None:
    """Nothing was opened since January, and from March on another plan holds, with its meter."""
    meter = '[[meter]]\ncode = "counted"\nevent = "search"\n'
    plan = METERED[METERED.index("[[plan]]") :].replace('"team"', '"pro"')
    world.publish(METERED + meter + plan.replace('meter = "searches"', 'meter = "counted"'))
    customer = world.subscribed("team")
    world.run_until("2026-01-20")
    world.jump_to("2026-02-10")
    change(world, customer, plan="pro", applies=Applies.PERIOD_END)
    world.jump_to("2026-03-05")

    use(world, customer, "2026-02-20", 110, n=1)
    use(world, customer, "2026-03-03", 130, n=2)

    with world.engine.connect() as conn:
        rows = conn.execute(text("SELECT n, meter FROM usage_totals ORDER BY n"))
        assert [tuple(row) for row in rows] == [(1, "searches"), (2, "counted")]
