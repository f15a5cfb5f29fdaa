"""Comparing with the provider, and closing: what agrees is closed, what differs is a break."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.flows import prove
from tests.scenarios.world import Subscriber, World


def paid(world: World, until: str = "2026-01-02") -> Subscriber:
    """A customer whose first period is paid."""
    customer = world.subscribed("video-premium")
    world.run_until(until)
    return customer


def kinds_of_breaks(world: World) -> list[str]:
    return sorted(row.kind for row in world.breaks())


def states(world: World, customer: Subscriber) -> list[str]:
    return [cycle.state for cycle in world.cycles(customer)]


def resolve(world: World) -> None:
    """An operator looked at every break and accepted it."""
    with world.engine.begin() as conn:
        conn.execute(
            text(
                "UPDATE breaks SET resolved_at = :now, resolution = 'explained'"
                " WHERE resolved_at IS NULL"
            ),
            {"now": world.now},
        )


def test_a_paid_period_is_confirmed_and_closed_with_a_digest(world: World) -> None:
    customer = paid(world)

    confirmed, closed = world.close_books()

    assert (confirmed.confirmed, confirmed.differences, closed.closed) == (1, 0, 1)
    (cycle,) = world.cycles(customer)
    assert (cycle.state, cycle.closed_at, len(cycle.digest or "")) == ("closed", world.now, 64)
    assert world.payment(customer).provider_charge_id == world.psp.charges(customer)[0]["id"]
    world.assert_everything_adds_up()


def test_closing_twice_closes_once(world: World) -> None:
    paid(world)
    world.close_books()

    confirmed, closed = world.close_books()

    assert (confirmed.confirmed, confirmed.differences, closed.closed) == (0, 0, 0)
    world.assert_everything_adds_up()


def test_what_is_not_collected_stays_open(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds")
    world.run_until("2026-01-10")

    world.close_books()

    assert states(world, customer) == ["opened"]
    world.assert_everything_adds_up()


def test_a_cycle_whose_attempt_is_open_stays_open(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()

    confirmed, _ = world.close_books()

    # The charge is in the provider's list, but its own resolution comes first.
    assert (confirmed.charges, confirmed.confirmed, confirmed.differences) == (1, 0, 0)
    assert states(world, customer) == ["opened"]
    world.run_until("2026-01-02")
    world.assert_everything_adds_up()
    assert states(world, customer) == ["closed"]


def test_a_capture_that_was_adopted_a_day_late_is_confirmed(world: World) -> None:
    customer = world.subscribed("video-premium")
    world.psp.lose_next_answer(after_commit=True)
    world.tick()
    world.close_books()
    world.jump_to("2026-01-02 01:00")
    world.close_books()  # by now the charge lies before the window that is read

    world.settle()
    world.run_until("2026-01-02 03:00")

    world.assert_everything_adds_up()
    assert states(world, customer) == ["closed"]


def test_trials_and_pauses_are_closed_without_money(world: World) -> None:
    customer = world.subscribed("video-basic")
    world.run_until("2026-01-02")

    world.close_books()

    assert states(world, customer) == ["closed"]
    world.assert_everything_adds_up()


def test_many_periods_are_closed_in_batches(world: World) -> None:
    for _ in range(5):
        world.subscribed("office-payroll")
    world.run_until("2026-03-10")

    _, closed = world.close_books()

    assert closed.closed == 25
    world.assert_everything_adds_up()


# --- differences --------------------------------------------------------------------------------


def test_a_charge_the_engine_knows_nothing_of_is_a_break(world: World) -> None:
    customer = paid(world)
    world.psp.take_money(700)

    world.close_books()

    (found,) = world.breaks()
    assert (found.kind, found.theirs["amount"], found.ours) == ("unknown_at_provider", 700, {})
    assert found.suggested_cause
    assert states(world, customer) == ["closed"], "it is nobody's cycle"
    world.close_books()
    assert len(world.breaks()) == 1
    world.assert_promises_hold()


def test_another_amount_is_a_break_and_its_cycle_stays_open(world: World) -> None:
    customer = paid(world)
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE payments SET amount_captured = amount_captured - 1"))

    world.close_books()

    (found,) = world.breaks()
    assert found.kind == "amount_mismatch"
    assert (found.ours["amount"], found.theirs["amount"]) == (1998, 1999)
    assert states(world, customer) == ["opened"]
    assert any("1998" in words or "19.98" in words for words in world.findings())


def test_a_capture_that_the_provider_does_not_have_is_a_break(world: World) -> None:
    customer = paid(world)
    world.psp.forget_everything()
    world.close_books()

    assert kinds_of_breaks(world) == ["missing_at_provider"]
    assert states(world, customer) == ["opened"]
    assert world.breaks()[0].ours["payment"] == str(world.payment(customer).id)
    world.close_books()
    assert len(world.breaks()) == 1
    world.assert_promises_hold()


def test_a_capture_that_is_minutes_old_may_still_be_missing(world: World) -> None:
    paid(world, "2026-01-01")
    world.psp.forget_everything()

    world.close_books()

    assert kinds_of_breaks(world) == []


def test_a_second_charge_for_one_payment_is_a_duplicate(world: World) -> None:
    customer = paid(world)
    world.psp.take_money(1999, metadata={"payment": str(world.payment(customer).id)})

    world.close_books()

    (found,) = world.breaks()
    assert found.kind == "duplicate_charge"
    assert found.payment_id == world.payment(customer).id
    assert states(world, customer) == ["opened"]
    world.assert_promises_hold()


def test_money_taken_after_we_gave_up_is_booked_after_all(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_stolen_card")
    world.run_until("2026-01-02")
    intent = world.payment(customer).provider_payment_id
    card = world.psp.post(
        "payment_methods/pm_card_visa/attach", customer=customer.provider_customer_id
    )
    world.psp.post(
        f"payment_intents/{intent}/confirm", payment_method=card["id"], off_session="true"
    )

    confirmed, closed = world.close_books()

    # Seen in the list of charges first, corrected by the settlement a moment later.
    assert (confirmed.differences, closed.closed) == (1, 1)
    assert kinds_of_breaks(world) == []
    assert world.payment(customer).state == "SETTLED"
    assert world.invoices(customer)[0].status == "paid"
    world.assert_everything_adds_up()


def test_a_cycle_closes_when_its_break_is_resolved(world: World) -> None:
    customer = paid(world)
    world.psp.take_money(1999, metadata={"payment": str(world.payment(customer).id)})
    world.close_books()
    assert states(world, customer) == ["opened"]

    resolve(world)
    world.close_books()

    assert states(world, customer) == ["closed"]
    world.assert_promises_hold()


def test_a_duplicate_found_after_closing_shows_in_the_proof(world: World) -> None:
    customer = paid(world)
    world.close_books()
    world.psp.take_money(1999, metadata={"payment": str(world.payment(customer).id)})
    world.close_books()

    assert kinds_of_breaks(world) == ["duplicate_charge"]
    assert any("is closed, and break" in words for words in world.findings())

    resolve(world)
    world.assert_promises_hold()


def test_a_declined_charge_at_the_provider_is_no_difference(world: World) -> None:
    customer = world.subscribed("video-premium", card="pm_sbx_insufficient_funds_1_then_ok")
    world.run_until("2026-01-10")

    confirmed, _ = world.close_books()

    assert len(world.psp.charges(customer)) == 2
    assert (confirmed.confirmed, confirmed.differences) == (1, 0)
    world.assert_everything_adds_up()


def test_a_capture_that_nobody_compares_shows_in_the_proof(world: World) -> None:
    paid(world, "2026-01-01")
    assert world.findings() == []

    world.run_until("2026-01-03")

    (finding,) = world.findings()
    assert "never compared with the provider's list" in finding
    world.assert_everything_adds_up()


@pytest.mark.parametrize("late", [timedelta(minutes=30), timedelta(hours=2)])
def test_work_left_lying_shows_in_the_proof_after_its_grace(world: World, late: timedelta) -> None:
    world.subscribed("video-premium")
    world.jump_to(f"{world.now + late:%Y-%m-%d %H:%M}")

    assert len(world.findings()) == (late > timedelta(hours=1))

    world.open()
    world.jump_to(f"{world.now + late:%Y-%m-%d %H:%M}")
    assert len(world.findings()) == (late > timedelta(hours=1))

    world.settle()
    world.assert_everything_adds_up()


def refunded_in_the_dashboard(world: World, customer: Subscriber) -> None:
    payment = world.payment(customer)
    world.psp.post("refunds", payment_intent=str(payment.provider_payment_id), amount="500")


def charged_twice(world: World, customer: Subscriber) -> None:
    payment = world.payment(customer)
    world.psp.take_money(payment.amount_captured, metadata={"payment": str(payment.id)})


LATER = {"refunded": refunded_in_the_dashboard, "charged twice": charged_twice}


@pytest.mark.parametrize("happens", LATER.values(), ids=LATER)
def test_what_the_provider_does_after_closing_breaks_no_promise(
    world: World, happens: Callable[[World, Subscriber], None]
) -> None:
    customer = paid(world)
    world.jump_to("2026-01-03")
    world.close_books()
    assert states(world, customer) == ["closed"]

    world.jump_to("2026-01-20")
    happens(world, customer)
    world.jump_to("2026-01-25")
    world.close_books()

    assert world.findings() == []
    assert states(world, customer) == ["closed"]
    results = prove.prove(world.engine, world.now)
    shown = [str(found.kind) for result in results for found in result.differences]
    assert shown == ["differs_after_closing"] * len(world.breaks())
    assert all(result.holds for result in results)


def test_a_cycle_that_was_closed_over_an_open_break_breaks_a_promise(world: World) -> None:
    customer = paid(world)
    world.jump_to("2026-01-03")
    world.close_books()
    (cycle,) = world.cycles(customer)
    with world.engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO breaks (id, kind, dedupe_key, cycle_id, ours, theirs,"
                " suggested_cause, found_at) VALUES (gen_random_uuid(), 'fee_mismatch', 'k',"
                " :cycle, '{}', '{}', 'c', :at)"
            ),
            {"cycle": cycle.id, "at": world.now - timedelta(hours=1)},
        )

    (found,) = world.findings()
    assert "is closed, and break" in found
