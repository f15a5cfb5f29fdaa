"""Refunds: at once, later, failing after all; never more than the charge."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from billing.sandbox import SandboxServer
from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

NOON = 1_800_000_000


def _paid(client: stripe.StripeClient, token: str = "pm_card_visa", **more: Any) -> str:
    return str(charge(client, *customer_with(client, token), **more).latest_charge)


def _events(client: stripe.StripeClient) -> list[str]:
    found = client.v1.events.list({"limit": 100}).data
    return [event.type for event in reversed(found) if "refund" in event.type]


def test_a_refund_succeeds_at_once_and_takes_money_without_a_fee(
    client: stripe.StripeClient,
) -> None:
    paid = _paid(client)

    refund = client.v1.refunds.create(
        {"charge": paid, "amount": 700, "reason": "duplicate", "metadata": {"why": "twice"}}
    )

    assert (refund.status, refund.reason) == ("succeeded", "duplicate")
    assert dict(refund.to_dict()["metadata"]) == {"why": "twice"}
    move = client.v1.balance_transactions.retrieve(str(refund.balance_transaction))
    assert (move.type, move.amount, move.fee, move.net) == ("refund", -700, 0, -700)
    assert (move.reporting_category, move.source) == ("refund", refund.id)
    assert _events(client) == ["refund.created", "charge.refunded"]


def test_a_pending_refund_succeeds_later(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "clock", now=NOON)
    paid = _paid(client, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"charge": paid})
    shop.control("POST", "clock", now=NOON + 59)
    still = client.v1.refunds.retrieve(refund.id)

    shop.control("POST", "clock", now=NOON + 60)

    assert (refund.status, still.status) == ("pending", "pending")
    assert still.pending_reason == "processing"
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    updated = client.v1.events.list({"type": "refund.updated"}).data[0]
    assert (updated.created, updated.data.object["status"]) == (NOON + 60, "succeeded")
    assert _events(client)[-1] == "charge.refund.updated"


@pytest.mark.parametrize(
    ("token", "first", "seconds"),
    [("pm_card_refundFail", "succeeded", 60), ("pm_sbx_refund_pending_then_fail", "pending", 120)],
)
def test_a_refund_that_fails_gives_the_money_back(
    client: stripe.StripeClient, shop: Shop, token: str, first: str, seconds: int
) -> None:
    shop.control("POST", "clock", now=NOON)
    paid = _paid(client, token)
    refund = client.v1.refunds.create({"charge": paid, "amount": 1500})

    shop.control("POST", "clock", now=NOON + seconds)

    failed = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (refund.status, failed.status, failed.failure_reason) == (first, "failed", "unknown")
    back: Any = failed.failure_balance_transaction
    assert (back.type, back.amount, back.fee) == ("refund_failure", 1500, 0)
    assert back.created == NOON + seconds
    charged = client.v1.charges.retrieve(paid)
    assert (charged.amount_refunded, charged.refunded) == (0, False)
    assert _events(client)[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]
    assert client.v1.refunds.create({"charge": paid}).amount == 2000


def test_the_settings_decide_for_cards_without_a_behaviour(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "settings", refunds="pending", refund_delay_seconds=0)
    refund = client.v1.refunds.create({"charge": _paid(client)})

    assert refund.status == "pending"
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_a_refund_can_be_moved_by_hand(client: stripe.StripeClient, shop: Shop) -> None:
    paid = _paid(client)
    refund = client.v1.refunds.create({"charge": paid})

    moved = shop.control(
        "POST", f"refunds/{refund.id}", status="failed", failure_reason="lost_or_stolen_card"
    )

    assert (moved["status"], moved["failure_reason"]) == ("failed", "lost_or_stolen_card")
    again = requests.post(
        f"{shop.url}/_sandbox/refunds/{refund.id}", json={"status": "failed"}, timeout=PATIENCE
    )
    assert again.status_code == 400


def test_metadata_of_a_refund_can_be_changed(client: stripe.StripeClient) -> None:
    refund = client.v1.refunds.create({"charge": _paid(client)})

    changed = client.v1.refunds.update(refund.id, {"metadata": {"case": "7"}})

    assert dict(changed.to_dict()["metadata"]) == {"case": "7"}


def test_a_refund_sent_again_under_its_key_is_one_refund(client: stripe.StripeClient) -> None:
    paid = _paid(client)
    key: Any = {"idempotency_key": "r"}

    first = client.v1.refunds.create({"charge": paid, "amount": 500}, key)
    second = client.v1.refunds.create({"charge": paid, "amount": 500}, key)

    assert first.id == second.id
    assert client.v1.charges.retrieve(paid).amount_refunded == 500


def test_fifty_threads_never_refund_more_than_the_charge(
    client: stripe.StripeClient, shop: Shop
) -> None:
    paid = _paid(client)
    clients = [shop.client() for _ in range(50)]

    def refund(each: stripe.StripeClient) -> bool:
        try:
            each.v1.refunds.create({"charge": paid, "amount": 150})
        except stripe.InvalidRequestError:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(refund, clients))

    assert sum(done) == 2000 // 150
    charged = client.v1.charges.retrieve(paid)
    assert charged.amount_refunded == 13 * 150
    moves = client.v1.balance_transactions.list({"type": "refund", "limit": 100}).data
    assert sum(move.amount for move in moves) == -13 * 150


def test_what_is_planned_survives_a_restart(client: stripe.StripeClient, tmp_path: Any) -> None:
    with SandboxServer(tmp_path) as server:
        first = Shop(server.url)
        first.control("POST", "clock", now=NOON)
        paid = _paid(first.client(), "pm_card_refundFail")
        refund = first.client().v1.refunds.create({"charge": paid})
        first.close()
    with SandboxServer(tmp_path) as server:
        second = Shop(server.url)
        second.control("POST", "clock", now=NOON + 60)
        assert second.client().v1.refunds.retrieve(refund.id).status == "failed"
        second.close()
    assert first.problems + second.problems == []
