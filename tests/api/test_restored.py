"""A caller who repeats a request after a restore and a recovery gets what it made the first time.

The database forgot the caller's idempotency key with all that came after the backup.
"""

import pytest

from tests.api.caller import Shop, fresh, open_shop
from tests.scenarios.backups import Backups, recover
from tests.scenarios.money import paid
from tests.scenarios.world import Subscriber, World


@pytest.fixture
def ada(world: World) -> Subscriber:
    """A customer who paid before the backup."""
    return paid(world)


def test_a_charge_is_not_made_again(
    world: World, shop: Shop, ada: Subscriber, backups: Backups
) -> None:
    caller, key = shop.caller(), fresh()
    restore = backups.take(world)
    order = {"amount": 500, "currency": "USD", "customer": ada.customer}
    first = caller.post("/v1/payments", order, key)
    assert first.status_code == 201

    restored = restore()
    recover(restored)
    with open_shop(restored) as reopened:
        again = reopened.caller_with(caller.key).post("/v1/payments", order, key)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        other = reopened.caller_with(caller.key).post("/v1/payments", order | {"amount": 6}, key)
        assert other.status_code == 422
    assert restored.psp.captures(ada) == 2
    restored.assert_everything_adds_up()


def test_a_declined_charge_is_answered_as_before(
    world: World, shop: Shop, ada: Subscriber, backups: Backups
) -> None:
    caller, key = shop.caller(), fresh()
    world.new_card(ada, "pm_card_chargeCustomerFail")
    restore = backups.take(world)
    order = {"amount": 500, "currency": "USD", "customer": ada.customer}
    assert caller.post("/v1/payments", order, key).status_code == 402

    restored = restore()
    recover(restored)
    restored.new_card(ada)
    with open_shop(restored) as reopened:
        assert reopened.caller_with(caller.key).post("/v1/payments", order, key).status_code == 402
    assert restored.psp.captures(ada) == 1


def test_a_refund_is_not_made_again(
    world: World, shop: Shop, ada: Subscriber, backups: Backups
) -> None:
    caller, key = shop.caller(), fresh()
    path = f"/v1/payments/{world.payment(ada).id}/refunds"
    restore = backups.take(world)
    first = caller.post(path, {"amount": 500}, key)
    assert first.status_code == 201

    restored = restore()
    recover(restored)
    with open_shop(restored) as reopened:
        again = reopened.caller_with(caller.key).post(path, {"amount": 500}, key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    (charge,) = restored.psp.charges(ada)
    assert charge["amount_refunded"] == 500
    restored.assert_everything_adds_up()


def test_a_customer_keeps_the_external_id_and_is_not_made_again(
    world: World, shop: Shop, ada: Subscriber, backups: Backups
) -> None:
    caller, key = shop.caller(), fresh()
    restore = backups.take(world)
    order = {"name": "Grace", "external_id": "shop-7", "payment_method": "pm_card_visa"}
    first = caller.post("/v1/customers", order, key)
    assert first.status_code == 201

    restored = restore()
    recover(restored)
    with open_shop(restored) as reopened:
        repeating = reopened.caller_with(caller.key)
        again = repeating.post("/v1/customers", order, key)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        assert repeating.charged(700, customer="shop-7")["state"] == "CAPTURED"
    assert again.json()["external_id"] == "shop-7"
    restored.assert_everything_adds_up()


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/invoices", {"lines": [{"text": "Set-up", "amount": 19900}]}),
        ("/v1/customers/{customer}/top-ups", {"amount": 5000}),
    ],
)
def test_an_invoice_of_no_subscription_is_not_issued_again(
    world: World,
    shop: Shop,
    ada: Subscriber,
    backups: Backups,
    path: str,
    asked: dict[str, object],
) -> None:
    caller, key = shop.caller(), fresh()
    restore = backups.take(world)
    order = asked | {"currency": "USD"}
    if path == "/v1/invoices":
        order |= {"customer": ada.customer}
    path = path.format(customer=ada.customer)
    first = caller.post(path, order, key)
    assert first.status_code == 201
    world.settle()

    restored = restore()
    recover(restored)
    with open_shop(restored) as reopened:
        repeating = reopened.caller_with(caller.key)
        again = repeating.post(path, order, key)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        assert repeating.post(path, order | {"currency": "EUR"}, key).status_code == 422
    restored.settle()
    assert restored.psp.captures(ada) == 2
    restored.assert_everything_adds_up()
