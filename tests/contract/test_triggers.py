"""Events on demand: each is made by the change that brings it about."""

from typing import Any

import pytest
import requests
import stripe

from billing.gateway.stripe.events import EVENT_KINDS
from billing.sandbox.control.triggers import TRIGGERS
from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

NEVER_HERE = {"payout.canceled"}


def triggered(shop: Shop, event_type: str, **more: str) -> dict[str, str]:
    """Trigger an event and return the object of each event that came of it, by type."""
    made = shop.control("POST", "triggers", type=event_type, **more)["events"]
    return {each["type"]: each["object_id"] for each in made}


def refusal(shop: Shop, **wanted: str) -> str:
    answer = requests.post(f"{shop.url}/_sandbox/triggers", json=wanted, timeout=PATIENCE)
    assert answer.status_code == 400, answer.text
    said: dict[str, Any] = answer.json()
    return str(said["error"]["message"])


@pytest.mark.parametrize("event_type", sorted(TRIGGERS))
def test_each_type_is_made_and_listed(
    shop: Shop, client: stripe.StripeClient, event_type: str
) -> None:
    made = triggered(shop, event_type)

    (event,) = client.v1.events.list({"type": event_type}).data  # checked against the schema
    assert event.data.object["id"] == made[event_type]
    assert event.pending_webhooks == 0


def test_all_that_the_engine_handles_is_made_on_demand(shop: Shop) -> None:
    known = set(shop.control("GET", "triggers")["types"])

    assert known == set(TRIGGERS)
    assert EVENT_KINDS.keys() - known == NEVER_HERE


@pytest.mark.parametrize(
    "event_type",
    [
        "charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_reinstated",
        "refund.created", "refund.failed", "charge.refunded",
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_charge", [False, True])
def test_a_payment_that_is_named_is_the_one_that_changes(
    shop: Shop, client: stripe.StripeClient, event_type: str, by_charge: bool
) -> None:
    paid = charge(client, *customer_with(client))
    named = str(paid.latest_charge) if by_charge else paid.id

    made = triggered(shop, event_type, object=named)

    assert [each.id for each in client.v1.payment_intents.list().data] == [paid.id]
    (event,) = client.v1.events.list({"type": event_type}).data
    about = event.data.object
    assert about.to_dict()["payment_intent"] == paid.id
    assert made[event_type] == about["id"]


def test_later_steps_take_the_object_of_the_step_before(shop: Shop) -> None:
    dispute = triggered(shop, "charge.dispute.created")["charge.dispute.created"]
    refund = triggered(shop, "refund.created")["refund.created"]
    held = "payment_intent.amount_capturable_updated"
    intent = triggered(shop, held)[held]
    payout = triggered(shop, "payout.created")["payout.created"]
    customer = triggered(shop, "customer.created")["customer.created"]

    assert triggered(shop, "charge.dispute.closed", object=dispute) == {
        "charge.dispute.closed": dispute
    }
    assert triggered(shop, "refund.failed", object=refund)["refund.failed"] == refund
    assert triggered(shop, "payment_intent.succeeded", object=intent) == {
        "charge.captured": shop.client().v1.payment_intents.retrieve(intent).latest_charge,
        "payment_intent.succeeded": intent,
    }
    assert triggered(shop, "payout.updated", object=payout) == {"payout.updated": payout}
    card = triggered(shop, "payment_method.attached", object=customer)["payment_method.attached"]
    assert "doesn't come of it" in refusal(shop, type="mandate.updated", object=card)
    assert triggered(shop, "customer.updated", object=customer) == {"customer.updated": customer}
    assert list(triggered(shop, "payment_method.attached", object=customer)) == [
        "payment_method.attached"
    ]


def test_what_cant_be_made_changes_nothing(shop: Shop, client: stripe.StripeClient) -> None:
    paid = charge(client, *customer_with(client))
    triggered(shop, "charge.dispute.closed", object=paid.id)
    before = client.v1.events.list({"limit": 100}).data

    unknown = refusal(shop, type="payment_intent.suceeded")
    assert "no event of type 'payment_intent.suceeded'" in unknown
    assert all(each in unknown for each in TRIGGERS)
    assert "pi_none is no object" in refusal(shop, type="refund.created", object="pi_none")
    assert "no object that customer.updated" in refusal(
        shop, type="customer.updated", object=paid.id
    )
    assert "already" in refusal(shop, type="payment_intent.succeeded", object=paid.id)
    assert "can't be disputed" in refusal(shop, type="charge.dispute.created", object=paid.id)
    assert "doesn't come of it" in refusal(shop, type="customer.created", object=str(paid.customer))
    assert client.v1.events.list({"limit": 100}).data == before
