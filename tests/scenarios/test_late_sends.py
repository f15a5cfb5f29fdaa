"""A charge that comes late looks first whether the provider has a payment for it already.

The provider has forgotten the key by then, and the fence was open: what an older state of the
database made is found by the payment that its metadata names.
"""

import pytest

from tests.scenarios.backups import Backups, open_by_hand
from tests.scenarios.money import paid
from tests.scenarios.world import Subscriber, World


@pytest.fixture
def late(world: World) -> Subscriber:
    """A subscriber whose period of February was opened two days late, and never sent."""
    subscriber = paid(world)
    world.jump_to("2026-02-03")
    world.open()
    return subscriber


def made_before(world: World, subscriber: Subscriber, **more: str) -> str:
    """Make the payment at the provider, as an attempt that this database has forgotten did."""
    (card,) = world.payment_methods(subscriber)
    form = {
        "amount": "3100",
        "currency": "usd",
        "customer": subscriber.provider_customer_id,
        "payment_method": card,
        "confirm": "true",
        "off_session": "true",
        "metadata[payment]": str(world.payment(subscriber).id),
        "metadata[key]": "a key of before",
    }
    made: str = world.psp.post("payment_intents", **form | more)["id"]
    return made


def test_what_an_older_state_charged_is_adopted_by_another_key(
    world: World, late: Subscriber
) -> None:
    made = made_before(world, late)
    assert world.settle()
    payment = world.payment(late)
    assert (payment.state, payment.provider_payment_id) == ("CAPTURED", made)
    assert world.psp.captures(late) == 2
    world.assert_everything_adds_up()


def test_a_canceled_one_is_made_anew(world: World, late: Subscriber) -> None:
    made = made_before(world, late, capture_method="manual")
    world.psp.post(f"payment_intents/{made}/cancel")
    assert world.settle()
    assert world.payment(late).provider_payment_id != made
    assert world.psp.captures(late) == 2
    world.assert_everything_adds_up()


def test_where_there_is_none_it_is_sent(world: World, late: Subscriber) -> None:
    assert world.settle()
    assert world.psp.captures(late) == 2
    world.assert_everything_adds_up()


def test_nothing_is_sent_while_the_lists_cannot_be_read(world: World, late: Subscriber) -> None:
    (payment_id,) = world.dispatch()
    sends = world.psp.sends()
    world.psp._control(
        "POST", "faults", kind="error_500_uncommitted", times=50, match={"method": "GET"}
    )
    world.charge(payment_id)
    assert world.psp.sends() == sends
    made_before(world, late)
    world.psp.heal()
    assert world.settle()
    assert world.psp.captures(late) == 2
    world.assert_everything_adds_up()


def test_an_open_fence_of_a_restored_backup_charges_nobody_twice(
    world: World, backups: Backups
) -> None:
    """The fence is the first guard, the look-up the second: here the first one failed."""
    subscribers = [paid(world) for _ in range(3)]
    world.run_until("2026-01-31 23:00")
    restore = backups.take(world)
    world.run_until("2026-02-08")

    restored = restore()
    open_by_hand(restored)
    assert restored.settle()
    assert [restored.psp.captures(each) for each in subscribers] == [2, 2, 2]
    restored.assert_everything_adds_up()
