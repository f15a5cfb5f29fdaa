"""What happens at the provider's side: events for it, and books that don't fit on purpose."""

from typing import Any

import pytest
import requests
import stripe

from tests.contract.cards import charge, customer_with, declined
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

DAY = 86_400
NOON = 1_800_000_000


def _types(client: stripe.StripeClient) -> list[str]:
    return [event.type for event in reversed(client.v1.events.list({"limit": 100}).data)]


def test_each_step_of_a_payment_has_its_event(client: stripe.StripeClient) -> None:
    customer, method = customer_with(client)
    held = charge(client, customer, method, capture_method="manual")
    client.v1.payment_intents.capture(held.id, {"amount_to_capture": 1500})
    voided = charge(client, customer, method, capture_method="manual")
    client.v1.payment_intents.cancel(voided.id)
    asking = client.v1.payment_methods.attach(
        "pm_sbx_needs_authentication", {"customer": customer}
    ).id
    charge(client, customer, asking, off_session=False)
    failing = client.v1.payment_methods.attach("pm_sbx_lost_card", {"customer": customer}).id
    declined(client, customer, failing)

    types = [each for each in _types(client) if each.startswith(("payment_intent", "charge"))]

    created, authorised = "payment_intent.created", "payment_intent.amount_capturable_updated"
    assert types == [
        *(created, "charge.succeeded", authorised),
        *("charge.captured", "payment_intent.succeeded"),
        *(created, "charge.succeeded", authorised),
        *("charge.refunded", "payment_intent.canceled"),
        *(created, "payment_intent.requires_action"),
        *(created, "charge.failed", "payment_intent.payment_failed"),
    ]


def test_an_authorisation_expires_after_seven_days(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "clock", now=NOON)
    customer, method = customer_with(client)
    held = charge(client, customer, method, capture_method="manual")
    taken = charge(client, customer, method, capture_method="manual")
    client.v1.payment_intents.capture(taken.id)

    shop.control("POST", "clock", now=NOON + 7 * DAY)

    gone = client.v1.payment_intents.retrieve(held.id)
    assert (gone.status, gone.cancellation_reason) == ("canceled", "automatic")
    assert (gone.canceled_at, gone.amount_capturable) == (NOON + 7 * DAY, 0)
    assert client.v1.payment_intents.retrieve(taken.id).status == "succeeded"
    assert _types(client)[-2:] == ["charge.expired", "payment_intent.canceled"]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(held.id)


def test_what_is_booked_late_is_announced(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "settings", async_capture_seconds=60)
    shop.control("POST", "clock", now=NOON)
    paid = charge(client, *customer_with(client))

    shop.control("POST", "clock", now=NOON + 60)

    event = client.v1.events.list({"type": "charge.updated"}).data[0]
    assert (event.created, event.data.object["id"]) == (NOON + 60, paid.latest_charge)
    assert event.data.object["balance_transaction"]


def test_cards_and_customers_change_with_events(client: stripe.StripeClient, shop: Shop) -> None:
    customer, method = customer_with(client)
    client.v1.payment_methods.update(
        method, {"card": {"exp_month": 3, "exp_year": 2031}, "metadata": {"a": "b"}}
    )
    client.v1.customers.update(customer, {"name": "Ada King"})
    renewed = shop.control("POST", f"payment_methods/{method}", exp_month=7, exp_year=2040)
    client.v1.payment_methods.detach(method)

    assert _types(client)[2:] == [
        "payment_method.updated",
        "customer.updated",
        "payment_method.automatically_updated",
        "payment_method.detached",
    ]
    card: Any = client.v1.payment_methods.retrieve(method).card
    assert (card.exp_month, card.exp_year) == (7, 2040)
    assert renewed["customer"] == customer


def test_a_bank_can_send_a_card_that_works_again(client: stripe.StripeClient, shop: Shop) -> None:
    customer, method = customer_with(client, "pm_sbx_expired")
    declined(client, customer, method)

    shop.control("POST", f"payment_methods/{method}", token="pm_card_mastercard", exp_year=2040)

    assert charge(client, customer, method).status == "succeeded"
    card: Any = client.v1.payment_methods.retrieve(method).card
    assert (card.brand, card.last4) == ("mastercard", "4444")


def test_a_payment_can_be_made_for_a_customer_in_the_past(
    client: stripe.StripeClient, shop: Shop
) -> None:
    customer, method = customer_with(client)
    shop.control("POST", "clock", now=NOON)

    made = shop.control(
        "POST",
        "payment_intents",
        amount=700,
        currency="usd",
        customer=customer,
        payment_method=method,
        created_offset=-3 * DAY,
        metadata={"subscription": "s1"},
    )

    found = client.v1.payment_intents.list({"customer": customer}).data[0]
    assert (found.id, found.created, found.amount) == (made["id"], NOON - 3 * DAY, 700)
    assert client.v1.balance.retrieve().available[0].amount == 650


@pytest.mark.parametrize(
    ("change", "charged", "booked"),
    [
        ({"amount": 1900}, 1900, (1900, 88)),
        ({"settled": 1990}, 2000, (1990, 88)),
        ({"fee": 99}, 2000, (2000, 99)),
    ],
)
def test_what_the_provider_says_of_a_charge_can_be_altered(
    client: stripe.StripeClient,
    shop: Shop,
    change: dict[str, int],
    charged: int,
    booked: tuple[int, int],
) -> None:
    paid = charge(client, *customer_with(client))

    shop.control("POST", f"charges/{paid.latest_charge}", **change)

    intent = client.v1.payment_intents.retrieve(
        paid.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    moved: Any = intent.latest_charge
    assert (intent.amount_received, moved.amount_captured) == (charged, charged)
    found = moved.balance_transaction
    assert (found.amount, found.fee) == booked


def test_a_hidden_charge_is_in_no_list_and_no_payout(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "settings", available_after_seconds=0)
    customer, method = customer_with(client)
    hidden, shown = (charge(client, customer, method) for _ in range(2))

    shop.control("POST", f"charges/{hidden.latest_charge}", hidden=True)

    v1 = client.v1
    assert [each.id for each in v1.payment_intents.list().data] == [shown.id]
    assert [each.id for each in v1.charges.list().data] == [shown.latest_charge]
    assert len(v1.balance_transactions.list().data) == 1
    assert v1.payment_intents.retrieve(hidden.id).status == "succeeded"
    assert shop.control("POST", "payouts", currency="usd")["amount"] == 1912
    shop.control("POST", f"charges/{hidden.latest_charge}", hidden=False)
    assert len(v1.charges.list().data) == 2
    assert shop.control("POST", "payouts", currency="usd")["amount"] == 1912


@pytest.mark.parametrize(("mode", "intents", "doubled"), [("same", 1, 1), ("new", 2, 0)])
def test_a_charge_can_be_made_twice(
    client: stripe.StripeClient, shop: Shop, mode: str, intents: int, doubled: int
) -> None:
    paid = charge(client, *customer_with(client))

    shop.control("POST", f"charges/{paid.latest_charge}/duplicate", payment_intent=mode)

    stats = shop.stats()
    assert (stats["captures"], stats["captured_amount"]) == (2, {"usd": 4000})
    assert stats["payment_intents_captured_more_than_once"] == doubled
    found = client.v1.payment_intents.list().data
    assert len(found) == intents
    assert {dict(each.to_dict()["metadata"])["payment"] for each in found} == {"pay-1"}
    assert len(client.v1.balance_transactions.list({"type": "charge"}).data) == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("charges/ch_nothing", {"amount": 1}, 404),
        ("charges/ch_nothing/duplicate", {}, 404),
        ("refunds/re_nothing", {"status": "failed"}, 404),
        ("refunds/re_nothing", {"status": "lost"}, 400),
        ("disputes", {}, 400),
        ("disputes", {"charge": "ch_nothing"}, 404),
        ("disputes/dp_nothing", {"outcome": "drawn"}, 400),
        ("payouts", {"currency": "xxx"}, 400),
        ("payouts", {"amount": 5}, 400),
        ("payouts/po_nothing", {"status": "paid"}, 404),
        ("payment_methods/pm_nothing", {"exp_year": "2040"}, 400),
        ("payment_intents", {"amount": 5, "currency": "usd", "created_offset": "x"}, 400),
        ("webhooks", {"url": "http://example.com"}, 400),
        ("events/evt_nothing/deliver", {"endpoint": "we_nothing"}, 400),
        ("no/such/thing", {}, 404),
    ],
)
def test_a_wrong_control_request_says_what_is_wrong(
    shop: Shop, path: str, body: dict[str, Any], status: int
) -> None:
    answer = requests.post(f"{shop.url}/_sandbox/{path}", json=body, timeout=PATIENCE)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]
