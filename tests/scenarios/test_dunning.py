"""Cards that say no: which attempts follow, when they stop, and what becomes of the rest."""

import pytest

from tests.scenarios.world import BEGINNING, Subscriber, World, at, decision_of, moments

UNPAID = """
product = "Story"

[[plan]]
code = "unpaid"
every = "1 month"
retry_after = ["3d", "5d"]
then = "unpaid"
  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "5.00" }
"""


def story(world: World, card: str, until: str, plan: str = "video-premium") -> Subscriber:
    """Let a customer subscribe on January 1 and time pass."""
    customer = world.subscribed(plan, card=card)
    world.run_until(until)
    return customer


def outcomes(world: World, customer: Subscriber, n: int = -1) -> list[tuple[str, str | None]]:
    return [(row.kind, row.outcome) for row in world.attempts(customer, n)]


def test_a_soft_decline_climbs_the_ladder_and_recovers(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_2_then_ok")

    world.run_until("2026-01-05")
    assert world.status(customer) == "past_due"
    assert "rung 2 of 3" in decision_of(world.payment(customer))

    world.run_until("2026-02-02")
    assert world.sent_on(customer, 0) == ["2026-01-01", "2026-01-04", "2026-01-09"]
    assert outcomes(world, customer, 0) == [
        ("first", "declined"),
        ("ladder", "declined"),
        ("ladder", "succeeded"),
    ]
    assert world.status(customer) == "active"
    assert world.events(customer) == ["created", "past_due", "recovered"]
    assert world.psp.captures(customer) == 2
    world.assert_everything_adds_up()


def test_every_attempt_of_a_payment_confirms_the_same_payment_intent(world: World) -> None:
    customer = story(world, "pm_sbx_decline_2_then_ok", "2026-01-20")

    charges = world.psp.charges(customer)

    assert len(charges) == 3
    assert len({charge["payment_intent"] for charge in charges}) == 1
    assert len({row.idempotency_key for row in world.attempts(customer)}) == 3


def test_a_ladder_that_is_over_cancels_the_subscription(world: World) -> None:
    customer = story(world, "pm_sbx_insufficient_funds", "2026-03-01")

    assert world.sent_on(customer) == ["2026-01-01", "2026-01-04", "2026-01-09", "2026-01-16"]
    assert world.payment(customer).state == "FAILED"
    assert world.invoices(customer)[0].status == "uncollectible"
    assert world.entries("write_off") == 1
    assert (world.status(customer), len(world.cycles(customer))) == ("canceled", 1)
    world.assert_everything_adds_up()


def test_an_unpaid_period_is_written_off_and_closed_when_it_is_over(world: World) -> None:
    world.publish(UNPAID)
    customer = story(world, "pm_sbx_insufficient_funds", "2026-01-20", plan="unpaid")

    assert world.status(customer) == "unpaid"
    world.assert_everything_adds_up()
    assert world.cycles(customer)[0].state == "opened"  # a new card could still pay for it

    world.run_until("2026-02-10")
    world.assert_everything_adds_up()
    assert [cycle.state for cycle in world.cycles(customer)] == ["closed"]


def test_a_card_that_needs_the_customer_is_not_tried_until_it_changes(world: World) -> None:
    customer = story(world, "pm_sbx_expired_card", "2026-01-10")
    assert world.sent_on(customer) == ["2026-01-01"]

    assert world.new_card(customer) == 1
    world.settle()

    assert world.sent_on(customer) == ["2026-01-01", "2026-01-10"]
    assert outcomes(world, customer) == [("first", "declined"), ("new_method", "succeeded")]
    assert world.payment(customer).rung == 0
    assert world.status(customer) == "active"
    world.assert_everything_adds_up()


def test_a_customer_who_never_changes_the_card_is_given_up_when_the_ladder_would_end(
    world: World,
) -> None:
    customer = story(world, "pm_sbx_expired_card", "2026-02-01")

    assert world.sent_on(customer) == ["2026-01-01"]
    assert (world.payment(customer).state, world.status(customer)) == ("FAILED", "canceled")
    assert moments([world.subscription(customer)], "canceled_at") == ["2026-01-16"]
    world.assert_everything_adds_up()


def test_an_authentication_that_is_required_waits_for_the_customer(world: World) -> None:
    customer = story(world, "pm_card_authenticationRequired", "2026-01-06")

    assert world.payment(customer).decline_class == "needs_customer"
    assert world.psp.sends() == 1
    world.assert_everything_adds_up()


def test_a_new_card_in_the_middle_of_the_ladder_gives_the_waiting_rung_back(world: World) -> None:
    customer = story(world, "pm_sbx_insufficient_funds", "2026-01-05")
    assert world.payment(customer).rung == 2

    world.new_card(customer, "pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-20")

    # Declined at once on the 5th, and then the second rung: five days.
    assert world.sent_on(customer) == ["2026-01-01", "2026-01-04", "2026-01-05", "2026-01-10"]
    assert world.payment(customer).state == "CAPTURED"
    world.assert_everything_adds_up()


@pytest.mark.parametrize("old_card", ["insufficient_funds", "expired_card", "stolen_card"])
def test_a_card_changed_while_an_attempt_is_open_is_tried_right_after_its_decline(
    world: World, old_card: str
) -> None:
    customer = world.subscribed("video-premium", card=f"pm_sbx_{old_card}")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()

    world.new_card(customer)
    world.settle()

    assert outcomes(world, customer) == [("first", "declined"), ("new_method", "succeeded")]
    assert world.sent_on(customer) == ["2026-01-01", "2026-01-01"]
    assert (world.payment(customer).rung, world.status(customer)) == (0, "active")
    world.assert_everything_adds_up()


def test_another_card_right_after_that_decline_gives_no_rung_back_that_was_not_used(
    world: World,
) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.open()
    (payment_id,) = world.dispatch()
    sending = world.begin(payment_id)
    assert sending is not None
    world.new_card(customer)
    world.finish(sending, world.send(sending))

    world.new_card(customer)
    assert world.payment(customer).rung == 0
    world.settle()

    assert outcomes(world, customer) == [("first", "declined"), ("new_method", "succeeded")]
    world.assert_everything_adds_up()


def test_a_hard_decline_stops_at_once(world: World) -> None:
    customer = story(world, "pm_sbx_stolen_card", "2026-02-10")

    assert world.sent_on(customer) == ["2026-01-01"]
    assert (world.payment(customer).state, world.status(customer)) == ("FAILED", "canceled")
    assert world.psp.sends() == 1
    world.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("card", "decline_class", "sends"),
    [
        ("pm_sbx_no_advice", "soft", 2),
        ("pm_sbx_confirm_card_data", "needs_customer", 1),
        ("pm_sbx_do_not_try_again", "hard", 1),
    ],
)
def test_the_issuers_advice_outranks_the_decline_code(
    world: World, card: str, decline_class: str, sends: int
) -> None:
    customer = story(world, card, "2026-01-05")

    # All three are a generic_decline; only the advice differs.
    assert world.payment(customer).decline_code == "generic_decline"
    assert world.payment(customer).decline_class == decline_class
    assert world.psp.sends() == sends
    world.assert_everything_adds_up()


def test_one_card_has_one_budget_over_two_subscriptions(world: World) -> None:
    customer_id, provider_id = world.customer("pm_sbx_insufficient_funds")
    one = world.subscribe(customer_id, provider_id, "video-premium")
    other = world.subscribe(customer_id, provider_id, "video-premium")

    world.run_until("2026-01-20")

    first, second = sorted([world.sent_on(one), world.sent_on(other)])
    # A day apart: after every decline the card's other invoice waits.
    assert first == ["2026-01-01", "2026-01-04", "2026-01-09", "2026-01-16"]
    assert second == ["2026-01-02", "2026-01-05", "2026-01-10", "2026-01-17"]
    world.assert_everything_adds_up()


def test_a_card_is_tried_eight_times_in_thirty_days_and_not_more(world: World) -> None:
    customer_id, provider_id = world.customer("pm_sbx_insufficient_funds")
    for _ in range(3):
        world.subscribe(customer_id, provider_id, "video-premium")
    later = at("2026-01-20").replace(tzinfo=None)  # the ladders of the others are over by then
    world.subscribe(customer_id, provider_id, "video-premium", starts=later)

    world.run_until("2026-02-15")

    charges = world.psp.charges(Subscriber(customer_id, provider_id, customer_id))
    days = sorted((charge["created"] - BEGINNING.timestamp()) / 86400 for charge in charges)
    assert len(days) > 8
    assert all(days[n + 8] - days[n] >= 30 for n in range(len(days) - 8))
    world.assert_everything_adds_up()


def test_nobody_is_charged_again_while_one_of_two_invoices_is_in_dunning(world: World) -> None:
    customer = world.subscribed("office-payroll", card="pm_sbx_ok_1_then_insufficient_1_then_ok")

    world.run_until("2026-02-20")

    assert world.psp.captures(customer) == len(world.cycles(customer)) == 4
    assert world.sent_on(customer, 1) == ["2026-01-15", "2026-01-16"]
    world.assert_everything_adds_up()
