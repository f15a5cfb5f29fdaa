"""Disputes: who has the money at each step, and what the events say."""

from typing import Any

import pytest
import requests
import stripe

from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE


def _paid(client: stripe.StripeClient, token: str = "pm_card_visa") -> str:
    return str(charge(client, *customer_with(client, token)).latest_charge)


def _disputed(shop: Shop, charge_id: str, **more: Any) -> dict[str, Any]:
    return shop.control("POST", "disputes", charge=charge_id, **more)


def _events(client: stripe.StripeClient) -> list[str]:
    found = client.v1.events.list({"limit": 100}).data
    prefix = "charge.dispute."
    return [
        event.type.removeprefix(prefix)
        for event in reversed(found)
        if event.type.startswith(prefix)
    ]


def _net(client: stripe.StripeClient) -> int:
    moves = client.v1.balance_transactions.list({"type": "adjustment"}).data
    return sum(move.net for move in moves)


def test_a_chargeback_takes_the_amount_and_a_fee_at_once(
    client: stripe.StripeClient, shop: Shop
) -> None:
    paid = _paid(client)

    made = _disputed(shop, paid, reason="product_not_received")

    dispute = client.v1.disputes.retrieve(made["id"], {"expand": ["charge", "payment_intent"]})
    assert (dispute.status, dispute.amount, dispute.reason) == (
        "needs_response",
        2000,
        "product_not_received",
    )
    assert not dispute.is_charge_refundable
    assert dispute.charge.disputed  # type: ignore[union-attr]
    move = client.v1.balance_transactions.list({"source": made["id"]}).data[0]
    assert (move.type, move.reporting_category) == ("adjustment", "dispute")
    assert (move.amount, move.fee, move.net) == (-2000, 1500, -3500)
    assert move.fee_details[0].description == "Dispute fee"
    assert [each.id for each in dispute.balance_transactions] == [move.id]
    assert _events(client) == ["created", "funds_withdrawn"]
    assert client.v1.disputes.list({"charge": paid}).data[0].id == made["id"]


@pytest.mark.parametrize(
    ("outcome", "returned", "net", "events"),
    [
        ("won", False, -1500, ["created", "funds_withdrawn", "funds_reinstated", "closed"]),
        ("won", True, 0, ["created", "funds_withdrawn", "funds_reinstated", "closed"]),
        ("lost", False, -3500, ["created", "funds_withdrawn", "closed"]),
    ],
)
def test_who_has_the_money_after_the_decision(
    client: stripe.StripeClient,
    shop: Shop,
    outcome: str,
    returned: bool,
    net: int,
    events: list[str],
) -> None:
    shop.control("POST", "settings", dispute_fee_returned=returned)
    made = _disputed(shop, _paid(client))

    shop.control("POST", f"disputes/{made['id']}", outcome=outcome)

    dispute = client.v1.disputes.retrieve(made["id"])
    assert dispute.status == outcome
    assert (_net(client), _events(client)) == (net, events)
    assert sum(each.net for each in dispute.balance_transactions) == net


def test_an_inquiry_moves_no_money(client: stripe.StripeClient, shop: Shop) -> None:
    paid = _paid(client)
    made = _disputed(shop, paid, inquiry=True)
    refundable = client.v1.disputes.retrieve(made["id"]).is_charge_refundable

    shop.control("POST", f"disputes/{made['id']}", outcome="warning_closed")

    dispute = client.v1.disputes.retrieve(made["id"])
    assert (made["status"], refundable, dispute.status) == (
        "warning_needs_response",
        True,
        "warning_closed",
    )
    assert (_net(client), dispute.balance_transactions) == (0, [])
    assert _events(client) == ["created", "closed"]
    assert client.v1.refunds.create({"charge": paid}).amount == 2000


def test_an_inquiry_can_become_a_chargeback(client: stripe.StripeClient, shop: Shop) -> None:
    made = _disputed(shop, _paid(client), inquiry=True)

    escalated = shop.control("POST", f"disputes/{made['id']}", outcome="escalated")

    assert escalated["status"] == "needs_response"
    assert (_net(client), _events(client)) == (-3500, ["created", "funds_withdrawn"])


def test_an_inquiry_about_money_that_was_refunded_goes_no_further(
    client: stripe.StripeClient, shop: Shop
) -> None:
    paid = _paid(client)
    made = _disputed(shop, paid, inquiry=True)
    client.v1.refunds.create({"charge": paid})

    url = f"{shop.url}/_sandbox/disputes/{made['id']}"
    assert requests.post(url, json={"outcome": "escalated"}, timeout=PATIENCE).status_code == 400
    assert shop.control("POST", f"disputes/{made['id']}", outcome="warning_closed")


def test_part_of_a_charge_can_be_disputed_but_no_more_than_is_left(
    client: stripe.StripeClient, shop: Shop
) -> None:
    paid = _paid(client)
    client.v1.refunds.create({"charge": paid, "amount": 1500})
    url = f"{shop.url}/_sandbox/disputes"

    too_much = requests.post(url, json={"charge": paid, "amount": 501}, timeout=PATIENCE)
    made = _disputed(shop, paid, amount=300)
    twice = requests.post(url, json={"charge": paid}, timeout=PATIENCE)

    assert (too_much.status_code, made["amount"], twice.status_code) == (400, 300, 400)


def test_a_charge_taken_back_cannot_be_refunded(client: stripe.StripeClient, shop: Shop) -> None:
    paid = _paid(client)
    made = _disputed(shop, paid)

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.refunds.create({"charge": paid})
    shop.control("POST", f"disputes/{made['id']}", outcome="won")

    assert caught.value.code == "charge_disputed"
    assert client.v1.refunds.create({"charge": paid, "amount": 1}).status == "succeeded"


@pytest.mark.parametrize(
    ("token", "reason", "status", "net"),
    [
        ("pm_card_createDispute", "fraudulent", "needs_response", -3500),
        (
            "pm_card_createDisputeProductNotReceived",
            "product_not_received",
            "needs_response",
            -3500,
        ),
        ("pm_card_createDisputeInquiry", "fraudulent", "warning_needs_response", 0),
    ],
)
def test_some_cards_dispute_every_charge(
    client: stripe.StripeClient, token: str, reason: str, status: str, net: int
) -> None:
    paid = charge(client, *customer_with(client, token))

    dispute = client.v1.disputes.list({"payment_intent": paid.id}).data[0]

    assert (paid.status, dispute.reason, dispute.status) == ("succeeded", reason, status)
    assert _net(client) == net


@pytest.mark.parametrize(
    ("evidence", "inquiry", "status"),
    [
        ("winning_evidence", False, "won"),
        ("losing_evidence", False, "lost"),
        ("winning_evidence", True, "warning_closed"),
        ("it was me", False, "under_review"),
    ],
)
def test_evidence_decides(
    client: stripe.StripeClient, shop: Shop, evidence: str, inquiry: bool, status: str
) -> None:
    made = _disputed(shop, _paid(client), inquiry=inquiry)

    sent = client.v1.disputes.update(made["id"], {"evidence": {"uncategorized_text": evidence}})

    assert sent.status == ("warning_under_review" if inquiry else "under_review")
    assert client.v1.disputes.retrieve(made["id"]).status == status


def test_closing_a_dispute_accepts_it(client: stripe.StripeClient, shop: Shop) -> None:
    made = _disputed(shop, _paid(client))

    assert client.v1.disputes.close(made["id"]).status == "lost"
    answer = requests.post(
        f"{shop.url}/_sandbox/disputes/{made['id']}", json={"outcome": "won"}, timeout=PATIENCE
    )
    assert answer.status_code == 400
