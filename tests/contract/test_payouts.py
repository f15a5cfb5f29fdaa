"""Payouts: every cent of the balance goes out once, and each payout knows its transactions."""

from typing import Any

import pytest
import requests
import stripe

from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

DAY = 86_400
MIDNIGHT = 1_799_971_200  # a day's beginning, UTC
HOUR = 3_600


def _charged(client: stripe.StripeClient, count: int = 1, **more: Any) -> list[str]:
    customer, method = customer_with(client)
    return [str(charge(client, customer, method, **more).latest_charge) for _ in range(count)]


def _lines(client: stripe.StripeClient, payout: str) -> list[stripe.BalanceTransaction]:
    return client.v1.balance_transactions.list({"payout": payout, "limit": 100}).data


def _events(client: stripe.StripeClient) -> list[tuple[str, int]]:
    found = client.v1.events.list({"limit": 100}).data
    return [
        (event.type.removeprefix("payout."), event.created)
        for event in reversed(found)
        if event.type.startswith("payout.")
    ]


def test_a_payout_takes_what_is_available_and_lists_it(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "clock", now=MIDNIGHT)
    first, second = _charged(client, 2)
    refund = client.v1.refunds.create({"charge": first, "amount": 500})
    shop.control("POST", "clock", now=MIDNIGHT + DAY)
    (late,) = _charged(client)
    shop.control("POST", "clock", now=MIDNIGHT + 2 * DAY)

    made = shop.control("POST", "payouts", currency="usd")

    payout = client.v1.payouts.retrieve(made["id"], {"expand": ["balance_transaction"]})
    assert payout.amount == 2 * 1912 - 500
    assert payout.balance_transaction.amount == -payout.amount  # type: ignore[union-attr]
    lines = _lines(client, made["id"])
    assert {line.source for line in lines} == {first, second, refund.id, made["id"]}
    assert sum(line.net for line in lines) == 0
    balance = client.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (0, 1912)
    assert late not in {line.source for line in lines}


def test_a_payout_arrives_with_the_clock(client: stripe.StripeClient, shop: Shop) -> None:
    shop.control("POST", "settings", available_after_seconds=0)
    shop.control("POST", "clock", now=MIDNIGHT)
    _charged(client)
    made = shop.control("POST", "payouts", currency="usd")
    seen = [client.v1.payouts.retrieve(made["id"]).status]
    for now in (HOUR, 2 * DAY):
        shop.control("POST", "clock", now=MIDNIGHT + now)
        seen.append(client.v1.payouts.retrieve(made["id"]).status)

    assert seen == ["pending", "in_transit", "paid"]
    assert _events(client) == [
        ("created", MIDNIGHT),
        ("reconciliation_completed", MIDNIGHT),
        ("updated", MIDNIGHT + HOUR),
        ("paid", MIDNIGHT + 2 * DAY),
    ]
    assert client.v1.payouts.list({"status": "paid"}).data[0].id == made["id"]
    arrival: Any = {"arrival_date": {"lt": MIDNIGHT + 2 * DAY}}
    assert client.v1.payouts.list(arrival).data == []


@pytest.mark.parametrize("before", [None, "in_transit", "paid"])
def test_a_failed_payout_is_booked_back_and_paid_out_again(
    client: stripe.StripeClient, shop: Shop, before: str | None
) -> None:
    shop.control("POST", "settings", available_after_seconds=0)
    _charged(client)
    made = shop.control("POST", "payouts", currency="usd")
    if before:
        shop.control("POST", f"payouts/{made['id']}", status=before)

    shop.control("POST", f"payouts/{made['id']}", status="failed", failure_code="account_closed")

    failed = client.v1.payouts.retrieve(made["id"], {"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    back: Any = failed.failure_balance_transaction
    assert (back.type, back.amount, back.reporting_category) == (
        "payout_failure",
        1912,
        "payout_reversal",
    )
    assert [name for name, _ in _events(client)][-1] == "failed"
    again = shop.control("POST", "payouts", currency="usd")
    assert again["amount"] == 1912
    assert back.id in {line.id for line in _lines(client, again["id"])}


def test_nothing_available_is_nothing_to_pay_out(client: stripe.StripeClient, shop: Shop) -> None:
    _charged(client)

    answer = requests.post(
        f"{shop.url}/_sandbox/payouts", json={"currency": "usd"}, timeout=PATIENCE
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "balance_insufficient"


def test_daily_payouts_follow_the_clock_and_leave_nothing_out(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "clock", now=MIDNIGHT + HOUR)
    shop.control("POST", "settings", payout_schedule="daily")
    for day in range(4):
        shop.control("POST", "clock", now=MIDNIGHT + day * DAY + HOUR)
        _charged(client, 2)
        _charged(client, currency="eur")

    shop.control("POST", "clock", now=MIDNIGHT + 30 * DAY)

    payouts = client.v1.payouts.list({"limit": 100}).data
    assert [payout.created for payout in payouts if payout.currency == "usd"] == [
        MIDNIGHT + day * DAY for day in (6, 5, 4, 3)
    ]
    assert sum(payout.amount for payout in payouts if payout.currency == "usd") == 8 * 1912
    assert {payout.status for payout in payouts} == {"paid"}
    lines = [line for payout in payouts for line in _lines(client, payout.id)]
    sources = [line.source for line in lines if line.type == "charge"]
    assert len(sources) == len(set(sources)) == 12
    shop.control("POST", "settings", payout_schedule="manual")
    _charged(client)
    shop.control("POST", "clock", now=MIDNIGHT + 60 * DAY)
    assert len(client.v1.payouts.list({"limit": 100}).data) == len(payouts)


def test_a_chargeback_is_taken_out_of_the_next_payout(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control("POST", "settings", available_after_seconds=0)
    paid = _charged(client, 3)
    shop.control("POST", "disputes", charge=paid[0])

    made = shop.control("POST", "payouts", currency="usd")

    assert made["amount"] == 3 * 1912 - 3500


def test_money_of_one_card_is_available_at_once(client: stripe.StripeClient, shop: Shop) -> None:
    charge(client, *customer_with(client, "pm_card_bypassPending"))

    assert shop.control("POST", "payouts", currency="usd")["amount"] == 1912
