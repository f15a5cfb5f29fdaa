"""Disputes: what cardholders' banks ask about, take, give back and keep."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from billing.flows.refunds.requesting import NotRefundable
from billing.flows.subscriptions import lifecycle
from billing.gateway import DisputeStage, ProviderDispute
from billing.gateway.stripe.objects import read_dispute
from billing.presenters.break_causes import in_words
from billing.rules.disputes import DisputeState
from billing.store.payments.payments import Payment
from tests.scenarios.money import (
    apply_dispute,
    apply_events_of_dispute,
    balances,
    decide,
    dispute_row,
    fetch_dispute,
    give_back,
    one_off,
    open_dispute,
    paid,
    payment_row,
    settings,
    usd,
)
from tests.scenarios.test_changes import BASE, HEAD, plan
from tests.scenarios.test_operators import change
from tests.scenarios.world import Subscriber, World, at


def test_an_inquiry_moves_no_money(world: World) -> None:
    payment = world.payment(paid(world))
    before = balances(world)

    inquiry = open_dispute(world, payment.id, inquiry=True)
    known = apply_events_of_dispute(world, inquiry)
    assert dispute_row(world, known).state == "inquiry"
    decide(world, inquiry, "warning_closed")
    apply_events_of_dispute(world, inquiry)

    row = dispute_row(world, known)
    assert (row.state, row.funds_withdrawn, row.fee) == ("inquiry_closed", False, 0)
    assert row.closed_at == world.now
    assert balances(world) == before
    world.assert_everything_adds_up()


def test_an_inquiry_may_become_a_dispute(world: World) -> None:
    payment = world.payment(paid(world))
    inquiry = open_dispute(world, payment.id, inquiry=True)
    known = apply_events_of_dispute(world, inquiry)

    decide(world, inquiry, "escalated")
    apply_events_of_dispute(world, inquiry)

    assert dispute_row(world, known).state == "opened"
    assert balances(world)["dispute_receivable"] == 3100
    world.assert_everything_adds_up()


def test_an_open_dispute_withholds_the_amount_and_costs_a_fee(world: World) -> None:
    payment = world.payment(paid(world))

    known = apply_events_of_dispute(world, open_dispute(world, payment.id))

    row = dispute_row(world, known)
    assert (row.state, row.amount, row.fee, row.fee_currency) == ("opened", 3100, 1500, "USD")
    assert balances(world) == {
        "dispute_receivable": 3100,
        "dispute_fees": 1500,
        "psp_clearing": -1500,
        "deferred_revenue": -3100,
    }
    world.assert_everything_adds_up()


def test_a_won_dispute_brings_the_amount_back_and_the_fee_is_gone(world: World) -> None:
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    known = apply_events_of_dispute(world, dispute)

    decide(world, dispute, "won")
    apply_events_of_dispute(world, dispute)

    row = dispute_row(world, known)
    assert (row.state, row.funds_withdrawn, row.fee) == ("won", False, 1500)
    assert balances(world) == {
        "psp_clearing": 1600,
        "dispute_fees": 1500,
        "deferred_revenue": -3100,
    }
    world.assert_everything_adds_up()


def test_a_fee_comes_back_where_the_provider_says_so(world: World) -> None:
    settings(world, dispute_fee_returned=True)
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    known = apply_events_of_dispute(world, dispute)

    decide(world, dispute, "won")
    apply_events_of_dispute(world, dispute)

    assert dispute_row(world, known).fee == 0
    assert balances(world) == {"psp_clearing": 3100, "deferred_revenue": -3100}
    world.assert_everything_adds_up()


def test_a_lost_dispute_goes_off_what_was_not_earned_yet(world: World) -> None:
    subscriber = paid(world)
    dispute = open_dispute(world, world.payment(subscriber).id)
    known = apply_events_of_dispute(world, dispute)

    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    world.run_until("2026-01-31 12:00")
    world.close_books()

    row = dispute_row(world, known)
    assert (row.state, row.lost_recognised, row.lost_deferred) == ("lost", 0, 3100)
    assert "dispute_receivable" not in balances(world)
    assert world.entries("revenue_recognized") == 0
    world.assert_everything_adds_up()


def test_a_dispute_lost_in_the_middle_is_split_by_what_was_earned(world: World) -> None:
    world.earn_daily()
    subscriber = paid(world)
    dispute = open_dispute(world, world.payment(subscriber).id, amount=620)
    known = apply_events_of_dispute(world, dispute)
    world.jump_to("2026-01-11")
    world.close_books()

    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)

    row = dispute_row(world, known)
    assert (row.lost_recognised, row.lost_deferred, row.lost_tax) == (200, 420, 0)
    assert balances(world)["disputes_contra"] == 200
    world.assert_everything_adds_up()


def test_a_charge_without_an_invoice_is_lost_from_revenue(world: World) -> None:
    payment_id = one_off(world, usd(5000))
    world.settle()
    dispute = open_dispute(world, payment_id)
    apply_events_of_dispute(world, dispute)

    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)

    assert balances(world)["disputes_contra"] == 5000
    world.assert_everything_adds_up()


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_the_books_are_the_same_whatever_order_the_notices_come_in(
    world: World, outcome: str
) -> None:
    """Three fetches, of which each may arrive late, twice, or not at all."""
    payment = world.payment(paid(world))
    inquiry = open_dispute(world, payment.id, inquiry=True)
    seen = [fetch_dispute(world, inquiry)]
    decide(world, inquiry, "escalated")
    seen.append(fetch_dispute(world, inquiry))
    decide(world, inquiry, outcome)
    seen.append(fetch_dispute(world, inquiry))

    for order in permutations(seen):
        known = [apply_dispute(world, found) for found in (*order, *order)][-1]
        assert dispute_row(world, known).state == outcome
        assert world.entries("dispute_opened") == 1
        assert world.entries("dispute_won") == (1 if outcome == "won" else 0)
        assert world.entries("dispute_lost") == (0 if outcome == "won" else 1)
    world.assert_everything_adds_up()


def test_only_the_last_notice_is_enough(world: World) -> None:
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    decide(world, dispute, "lost")

    known = apply_events_of_dispute(world, dispute)

    assert known.state is DisputeState.LOST
    assert known.posted == 2
    world.assert_everything_adds_up()


def test_a_decision_that_is_taken_back_takes_the_loss_back(world: World) -> None:
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    decide(world, dispute, "lost")
    known = apply_events_of_dispute(world, dispute)
    lost = fetch_dispute(world, dispute)

    apply_dispute(world, replace(lost, stage=DisputeStage.WON))  # the money is still on its way
    row = dispute_row(world, known)
    assert (row.state, row.lost_deferred) == ("won", 0)
    assert balances(world)["dispute_receivable"] == 3100
    apply_dispute(world, lost)

    assert dispute_row(world, known).times_lost == 2
    assert world.entries("dispute_lost") == 2
    assert world.entries("dispute_lost_reversed") == 1
    assert "dispute_receivable" not in balances(world)
    world.assert_everything_adds_up()


def test_what_is_disputed_can_not_be_refunded_as_well(world: World) -> None:
    payment = world.payment(paid(world))
    apply_events_of_dispute(world, open_dispute(world, payment.id, amount=3000))

    with pytest.raises(NotRefundable, match=r"1\.00 USD can be refunded") as refusal:
        give_back(world, payment.id, usd(101))

    assert "30.00 USD are in dispute" in str(refusal.value)
    assert payment_row(world, payment.id).amount_refunded == 0


def _moved(
    id_: str, amount: int, fee: int = 0, currency: str = "eur", category: str = "dispute"
) -> dict[str, Any]:
    return {
        "id": id_, "object": "balance_transaction", "amount": amount, "fee": fee,
        "net": amount - fee, "currency": currency, "type": "adjustment",
        "reporting_category": category, "source": "dp_1", "exchange_rate": None,
        "created": 1767300000, "available_on": 1767300000,
    }  # fmt: skip


def _told(
    payment: Payment,
    moved: list[dict[str, Any]],
    status: str = "lost",
    amount: int = 3100,
    currency: str = "usd",
) -> ProviderDispute:
    return read_dispute({
        "id": "dp_1", "object": "dispute", "amount": amount, "currency": currency,
        "charge": payment.provider_charge_id, "payment_intent": payment.provider_payment_id,
        "status": status, "reason": "fraudulent", "created": 1767300000,
        "balance_transactions": moved,
    })  # fmt: skip


WITHHELD = _moved("txn_1", -2790, 1500)
IN_PARTS = {
    "a correction": ([WITHHELD, _moved("txn_2", 45)], "lost", 3050),
    "a fee by itself": ([WITHHELD, _moved("txn_2", 0, 300)], "lost", 3100),
    "two parts": ([_moved("txn_1", -1000, 1500), _moved("txn_2", -1790)], "lost", 3100),
    "given back, and taken again": (
        [WITHHELD, _moved("txn_2", 2700), _moved("txn_3", -2700)], "lost", 3100,
    ),
    "given back at another rate": ([WITHHELD, _moved("txn_2", 2650)], "won", 0),
    "given back at a better rate": ([WITHHELD, _moved("txn_2", 2850)], "won", 0),
    "still open": ([WITHHELD, _moved("txn_2", 45)], "under_review", 0),
}  # fmt: skip


@pytest.mark.parametrize(("moved", "status", "lost"), IN_PARTS.values(), ids=IN_PARTS)
def test_each_part_of_a_dispute_on_a_foreign_balance_counts_by_its_share(
    world: World, moved: list[dict[str, Any]], status: str, lost: int
) -> None:
    payment = world.payment(paid(world))

    known = apply_dispute(world, _told(payment, moved, status))

    row = dispute_row(world, known)
    assert row.lost_recognised + row.lost_deferred + row.lost_tax == lost
    assert balances(world).get("deferred_revenue", 0) == lost - 3100
    held = {"under_review": 3050}.get(status, 0)
    assert balances(world).get("dispute_receivable", 0) == held
    if status != "won":
        with pytest.raises(NotRefundable):
            give_back(world, payment.id)
    assert world.breaks() == []
    world.assert_books_balance()
    assert world.findings() == []


@pytest.mark.parametrize(
    ("moved", "status"),
    [
        ([WITHHELD, _moved("txn_2", 45)], "lost"),
        ([WITHHELD, _moved("txn_2", 2650)], "won"),
        ([WITHHELD, _moved("txn_2", 2850)], "won"),
        ([WITHHELD, _moved("txn_2", 2700), _moved("txn_3", -2700)], "lost"),
        ([WITHHELD, _moved("txn_2", 0, 300)], "lost"),
    ],
)
def test_movements_of_a_dispute_that_are_read_one_by_one_leave_nothing_in_between(
    world: World, moved: list[dict[str, Any]], status: str
) -> None:
    payment = world.payment(paid(world))

    for n in range(len(moved)):
        apply_dispute(world, _told(payment, moved[: n + 1], "under_review"))
    known = apply_dispute(world, _told(payment, moved, status))

    row = dispute_row(world, known)
    lost = row.lost_recognised + row.lost_deferred + row.lost_tax
    assert balances(world).get("dispute_receivable", 0) == 0
    assert balances(world).get("deferred_revenue", 0) == lost - 3100
    assert (lost > 0) == (status == "lost")
    assert world.breaks() == []
    assert world.findings() == []


@pytest.mark.parametrize("status", ["needs_response", "lost"])
@pytest.mark.parametrize("currency", ["eur", "gbp", "jpy"])
def test_a_dispute_in_another_currency_than_its_payment_is_a_break_and_books_nothing(
    world: World, status: str, currency: str
) -> None:
    payment = world.payment(paid(world))
    before = balances(world)
    moved = [_moved("txn_1", -2790, 1500, currency)]

    told = _told(payment, moved, status, 2790, currency)
    apply_dispute(world, told)
    known = apply_dispute(world, told)

    (found,) = world.breaks()
    assert (found.kind, found.suggested_cause) == (
        "dispute_mismatch",
        "disputed_in_another_currency",
    )
    assert (found.ours["currency"], found.theirs["currency"]) == ("USD", currency.upper())
    assert known.posted == 0
    assert balances(world) == before
    assert balances(world, currency.upper()) == {}
    with pytest.raises(NotRefundable):
        give_back(world, payment.id, usd(310))
    assert world.findings() == []


def test_the_cause_of_a_dispute_above_its_charge_is_true(world: World) -> None:
    payment = world.payment(paid(world))

    apply_dispute(world, _told(payment, [_moved("txn_1", -3200, 1500, "usd")], amount=3200))

    (found,) = world.breaks()
    assert found.suggested_cause == "disputed_above_charge"
    assert "refunded" not in in_words(found.suggested_cause)
    world.assert_books_balance()


def test_a_loss_of_more_than_was_left_is_booked_and_reported(world: World) -> None:
    """A cardholder was refunded, and the bank took the whole amount back nevertheless."""
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    decide(world, dispute, "lost")
    lost = fetch_dispute(world, dispute)
    give_back(world, payment.id, usd(1000))  # before we known of it

    apply_dispute(world, lost)

    assert [(row.kind, row.suggested_cause) for row in world.breaks()] == [
        ("dispute_mismatch", "refunded_and_disputed")
    ]
    assert balances(world)["disputes_contra"] == 1000, "nothing says what else it was"
    world.assert_books_balance()


def test_a_dispute_of_a_charge_that_is_not_ours_is_a_break_until_it_is(world: World) -> None:
    payment = world.payment(paid(world))
    dispute = open_dispute(world, payment.id)
    strange = replace(fetch_dispute(world, dispute), provider_payment_id="pi_of_somebody")

    known = apply_dispute(world, strange)
    assert (known.state, known.posted) == (None, 0)
    assert [row.kind for row in world.breaks()] == ["dispute_unknown"]
    assert dispute_row(world, known).payment_id is None

    again = apply_events_of_dispute(world, dispute)

    assert again.dispute_id == known.dispute_id
    assert dispute_row(world, known).payment_id == payment.id
    assert world.breaks() == []
    with world.engine.connect() as conn:
        owners = conn.execute(
            text("SELECT customer_id FROM ledger.entries WHERE kind = 'dispute_opened'")
        ).scalars()
        assert list(owners) == [payment.customer_id], "the entry is about whom the charge is about"
    world.assert_everything_adds_up()


# --- the subscription ---------------------------------------------------------------------------


def lost(world: World, subscriber: Subscriber, n: int = -1) -> None:
    """Let the bank decide for the cardholder about a payment; tell us twice."""
    dispute = open_dispute(world, world.payment(subscriber, n).id)
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "lost")
    apply_events_of_dispute(world, dispute)
    apply_events_of_dispute(world, dispute)


def disputing(world: World, every: str, on_dispute: str | None) -> Subscriber:
    """Publish a plan with that policy and let a customer subscribe to it."""
    policy = f'on_dispute = "{on_dispute}"' if on_dispute else ""
    world.publish(HEAD + plan("p", every, BASE, extra=policy))
    return world.subscribed("p")


@pytest.mark.parametrize("on_dispute", ["continue", None])
def test_a_lost_dispute_is_told_in_the_history_and_the_subscription_goes_on(
    world: World, on_dispute: str | None
) -> None:
    subscriber = disputing(world, "1 month", on_dispute)
    world.run_until("2026-01-10")

    lost(world, subscriber)
    world.run_until("2026-02-02")

    assert world.events(subscriber).count("dispute_lost") == 1
    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("active", 2)


def test_a_subscription_is_paused_by_a_lost_dispute_where_its_plan_says_so(world: World) -> None:
    subscriber = disputing(world, "1 month", "pause")
    world.run_until("2026-01-10")

    lost(world, subscriber)
    world.run_until("2026-03-02")
    assert (world.status(subscriber), world.kinds(subscriber)[1:]) == ("paused", ["paused"] * 2)

    change(world, subscriber, lifecycle.resume)
    world.run_until("2026-04-02")
    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("active", 2)


def test_a_subscription_ends_by_a_lost_dispute_where_its_plan_says_so(world: World) -> None:
    subscriber = disputing(world, "1 month", "cancel")
    world.run_until("2026-01-10")

    lost(world, subscriber)
    assert world.status(subscriber) == "canceled"
    world.run_until("2026-03-02")

    assert world.psp.captures(subscriber) == 1
    assert world.events(subscriber)[-2:] == ["dispute_lost", "canceled"]
    world.assert_everything_adds_up()


def test_a_period_that_is_paid_and_not_lost_is_served_before_a_dispute_ends_the_subscription(
    world: World,
) -> None:
    subscriber = disputing(world, "1 week", "cancel")
    world.run_until("2026-01-10")

    lost(world, subscriber, 0)
    assert world.status(subscriber) == "active"
    world.run_until("2026-01-20")

    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("canceled", 2)
    assert world.subscription(subscriber).canceled_at == at("2026-01-15")
    world.assert_everything_adds_up()


def test_what_is_open_is_voided_when_a_lost_dispute_ends_the_subscription(world: World) -> None:
    world.publish(HEAD + plan("p", "1 week", BASE, extra='on_dispute = "cancel"'))
    subscriber = world.subscribed("p", card="pm_sbx_ok_1_then_insufficient_funds")
    world.run_until("2026-01-09")
    assert world.status(subscriber) == "past_due"

    lost(world, subscriber, 0)
    world.new_card(subscriber)
    world.run_until("2026-01-20")

    assert [invoice.status for invoice in world.invoices(subscriber)] == ["paid", "void"]
    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("canceled", 1)
    world.assert_everything_adds_up()


def test_a_dispute_that_is_won_or_open_leaves_the_subscription_as_it_is(world: World) -> None:
    subscriber = disputing(world, "1 month", "cancel")
    world.run_until("2026-01-10")
    dispute = open_dispute(world, world.payment(subscriber).id)
    apply_events_of_dispute(world, dispute)
    decide(world, dispute, "won")
    apply_events_of_dispute(world, dispute)

    world.run_until("2026-02-02")

    assert "dispute_lost" not in world.events(subscriber)
    assert (world.status(subscriber), world.psp.captures(subscriber)) == ("active", 2)
