"""The whole engine over a provider that it has never heard of: a dictionary with a file.

Nothing names it. What it can do, its gateway says.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from billing.flows.customers import customers
from billing.gateway import DisputeStage, ProviderDispute
from billing.store.payments import disputes
from tests.contract.gateway.trivial import Sale, Trivial
from tests.scenarios.money import give_back, usd
from tests.scenarios.test_paid_out_later import swept
from tests.scenarios.test_two_providers import tried_at
from tests.scenarios.world import Subscriber, World

THERE = "braintree"  # the name of the account that it takes the place of


@pytest.fixture
def box(both: World, tmp_path: Path) -> Trivial:
    """The provider, in the place of the second account's."""
    provider = Trivial(tmp_path / "box", lambda: both.now)
    both.gateways._connected[THERE] = provider
    return provider


def subscribed(world: World, token: str = "good") -> Subscriber:
    customer_id, theirs = world.customer(token, provider=THERE)
    return world.subscribe(customer_id, theirs, "video-premium", trial=False)


def taken(box: Trivial) -> list[int]:
    return [sale.taken for sale in box._all(Sale) if sale.taken]


def test_months_are_billed_there_and_each_period_is_paid_once(both: World, box: Trivial) -> None:
    here, there = both.subscribed("video-premium"), subscribed(both)

    both.run_until("2026-03-15")

    paid = [(each.provider, str(each.state)) for each in both.payments(there)]
    assert paid == [(THERE, "CAPTURED")] * 3
    assert len(taken(box)) == len(both.payments(here)) == 3
    again = Trivial(box.file, box.now)
    assert taken(again) == taken(box), "what it keeps is in its file"
    both.close_books()
    both.assert_promises_hold()


def test_a_soft_decline_there_is_tried_again_and_a_hard_one_is_not(
    both: World, box: Trivial
) -> None:
    soft, hard = subscribed(both, "soft_then_good"), subscribed(both, "hard")

    both.run_until("2026-01-20")

    assert tried_at(both, soft) == [(THERE, "declined"), (THERE, "succeeded")]
    assert tried_at(both, hard) == [(THERE, "declined")]
    assert both.payment(hard).state == "FAILED"
    assert len(taken(box)) == 1
    both.close_books()
    both.assert_promises_hold()


@pytest.mark.parametrize("days", [2, 8], ids=["its key holds", "its key is forgotten"])
@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_answer_that_got_lost_there_is_found_out_and_nobody_is_charged_twice(
    both: World, box: Trivial, lost: str, days: int
) -> None:
    subscriber = subscribed(both)
    both.open()
    box.lose = lost  # type: ignore[assignment]
    (payment_id,) = both.dispatch()
    both.charge(payment_id)
    assert tried_at(both, subscriber) == [(THERE, "open")]

    both.jump_to(f"2026-01-{1 + days:02}")
    both.wait(timedelta(days=days))
    assert both.settle()

    assert both.payment(subscriber).state == "CAPTURED"
    assert len(taken(box)) == 1
    both.close_books()
    both.assert_promises_hold()


def test_a_refund_and_a_dispute_there_reach_the_books(both: World, box: Trivial) -> None:
    refunded, disputed = subscribed(both), subscribed(both)
    assert both.settle()
    payment = both.payment(disputed).provider_payment_id
    assert payment is not None

    give_back(both, both.payment(refunded).id, usd(500))
    assert both.settle()
    facts = (payment, payment, usd(1999), DisputeStage.NEEDS_RESPONSE, "fraud", both.now, False)
    box.rows["dispute-1"] = ProviderDispute("dispute-1", *facts)
    swept(both)

    assert sorted(each.refunded for each in box._all(Sale)) == [0, 500]
    assert both.entries("refund_succeeded") == 1
    with both.engine.connect() as conn:
        (found,) = disputes.page(conn)
    assert (found.provider, found.provider_dispute_id, found.state) == (
        THERE,
        "dispute-1",
        "opened",
    )
    both.close_books()
    both.assert_promises_hold()


def test_a_payment_follows_its_customer_from_there_and_back(both: World, box: Trivial) -> None:
    subscriber = subscribed(both, "soft")
    assert both.settle()
    assert tried_at(both, subscriber) == [(THERE, "declined")]

    customers.set_payment_method(
        both.context(), subscriber.customer, "pm_card_visa", provider="stripe"
    )
    assert both.settle()
    customers.set_payment_method(both.context(), subscriber.customer, "good", provider=THERE)
    both.run_until("2026-02-02")

    assert [each.provider for each in both.payments(subscriber)] == ["stripe", THERE]
    assert {str(each.state) for each in both.payments(subscriber)} <= {"CAPTURED", "SETTLED"}
    both.close_books()
    both.assert_promises_hold()
