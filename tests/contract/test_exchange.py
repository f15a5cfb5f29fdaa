"""Settling in another currency: every amount of it is exact."""

from fractions import Fraction
from typing import Any

import pytest
import requests
import stripe

from billing.sandbox.exchange import converted, rate_between
from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE


@pytest.fixture
def yen(shop: Shop) -> None:
    shop.control(
        "POST",
        "settings",
        settlement_currency={"jpy": "usd"},
        exchange_rates={"jpy:usd": "0.0067"},
        available_after_seconds=0,
    )


def _booked(client: stripe.StripeClient, source: str) -> stripe.BalanceTransaction:
    return client.v1.balance_transactions.list({"source": source}).data[0]


@pytest.mark.usefixtures("yen")
def test_a_charge_in_yen_settles_in_dollars(client: stripe.StripeClient) -> None:
    intent = charge(client, *customer_with(client), amount=1200, currency="jpy")

    charged = client.v1.charges.retrieve(str(intent.latest_charge))
    booked = _booked(client, charged.id)
    assert (charged.amount, charged.currency) == (1200, "jpy")
    # 1200 yen are 8.04 dollars; Stripe's rate is that of the API's amounts, 804 / 1200.
    assert (booked.amount, booked.currency, booked.exchange_rate) == (804, "usd", 0.67)
    assert (booked.fee, booked.net) == (53, 751)  # 2.9 % of 8.04, and 0.30
    assert [each.currency for each in client.v1.balance.retrieve().available] == ["usd"]


@pytest.mark.usefixtures("yen")
def test_refunds_use_the_rate_of_their_day_and_failures_give_back_what_was_taken(
    client: stripe.StripeClient, shop: Shop
) -> None:
    intent = charge(client, *customer_with(client), amount=1200, currency="jpy")
    shop.control("POST", "settings", exchange_rates={"jpy:usd": "0.0070"})

    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 600})
    failed = shop.control("POST", f"refunds/{refund.id}", status="failed")

    moved = client.v1.balance_transactions.retrieve(str(refund.balance_transaction))
    back = client.v1.balance_transactions.retrieve(failed["failure_balance_transaction"])
    assert (refund.amount, refund.currency) == (600, "jpy")
    assert (moved.amount, moved.currency, moved.exchange_rate) == (-420, "usd", 0.7)
    assert (back.amount, back.exchange_rate) == (420, 0.7)


@pytest.mark.usefixtures("yen")
def test_a_dispute_takes_and_returns_the_same_amount(
    client: stripe.StripeClient, shop: Shop
) -> None:
    intent = charge(client, *customer_with(client), amount=1200, currency="jpy")
    made = shop.control("POST", "disputes", payment_intent=intent.id)
    shop.control("POST", "settings", exchange_rates={"jpy:usd": "0.01"})

    shop.control("POST", f"disputes/{made['id']}", outcome="won")

    moves = client.v1.disputes.retrieve(made["id"]).balance_transactions
    assert [(move.amount, move.fee, move.currency) for move in moves] == [
        (-804, 1500, "usd"),
        (804, 0, "usd"),
    ]


@pytest.mark.usefixtures("yen")
def test_payouts_are_in_the_settlement_currency(client: stripe.StripeClient, shop: Shop) -> None:
    customer, method = customer_with(client)
    charge(client, customer, method, amount=1200, currency="jpy")
    charge(client, customer, method, amount=2000)

    assert shop.control("POST", "payouts", currency="usd")["amount"] == 751 + 1912


@pytest.mark.parametrize(
    ("amount", "pair", "rate", "settled"),
    [
        (1000, "eur:usd", "1.234", 1234),
        (1200, "jpy:usd", "0.0067", 804),
        (1, "jpy:usd", "0.0067", 1),
        (-75, "jpy:usd", "0.0067", -50),
        (50, "usd:jpy", "149.01", 75),
        (1000, "kwd:usd", "3.25", 325),
        (5, "usd:eur", "0.5", 3),
        (-5, "usd:eur", "0.5", -3),
    ],
)
def test_conversion_is_exact_and_rounds_half_away_from_zero(
    amount: int, pair: str, rate: str, settled: int
) -> None:
    source, _, target = pair.partition(":")

    ratio = rate_between({pair: rate}, source, target)

    assert converted(amount, ratio) == settled
    assert isinstance(ratio, Fraction)


@pytest.mark.parametrize(
    "settings",
    [
        {"settlement_currency": {"jpy": "usd"}},
        {"settlement_currency": {"JPY": "usd"}},
        {"exchange_rates": {"jpy:usd": "-1"}},
        {"exchange_rates": {"jpy:usd": "0"}},
        {"exchange_rates": {"jpyusd": "1"}},
        {"exchange_rates": {"jpy:usd": 0.0067}},
        {"refunds": "never"},
        {"payout_schedule": "hourly"},
        {"dispute_fee": -1},
        {"dispute_fee_returned": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(shop: Shop, settings: dict[str, Any]) -> None:
    before = shop.control("GET", "settings")

    answer = requests.post(f"{shop.url}/_sandbox/settings", json=settings, timeout=PATIENCE)

    assert answer.status_code == 400
    assert shop.control("GET", "settings") == before


def test_a_conversion_is_two_transactions_about_no_payment(
    client: stripe.StripeClient, shop: Shop
) -> None:
    made = shop.control(
        "POST",
        "conversions",
        **{"from": "eur", "to": "usd", "amount": 10_000, "received": 10_840, "fee": 50},
    )

    out, back = (client.v1.balance_transactions.retrieve(each["id"]) for each in made["data"])
    assert (out.amount, out.fee, out.net, out.currency) == (-10_000, 0, -10_000, "eur")
    assert (back.amount, back.fee, back.net, back.currency) == (10_840, 50, 10_790, "usd")
    assert {each.source for each in (out, back)} == {None}
    assert {each.reporting_category for each in (out, back)} == {"other_adjustment"}
    held = {each.currency: each.amount for each in client.v1.balance.retrieve().available}
    assert held == {"eur": -10_000, "usd": 10_790}


def test_a_conversion_is_in_the_report_of_the_balance(shop: Shop) -> None:
    given = {"from": "eur", "to": "usd", "amount": 10_000, "received": 10_840}
    booked = shop.control("POST", "conversions", **given)["data"]

    made = shop.control(
        "POST",
        "reports",
        report_type="ending_balance_reconciliation.itemized.4",
        parameters={
            "interval_end": booked[0]["created"] + 1,
            "columns": ["balance_transaction_id", "source_id", "net", "reporting_category"],
        },
    )

    lines = requests.get(made["result"]["url"], timeout=PATIENCE).text.splitlines()
    assert sorted(lines[1:]) == sorted(
        [
            f"{booked[0]['id']},,-100.00,other_adjustment",
            f"{booked[1]['id']},,108.40,other_adjustment",
        ]
    )


@pytest.mark.parametrize(
    "wrong",
    [{"to": "eur"}, {"amount": 0}, {"received": -1}, {"fee": 10_840}, {"fee": -1}, {"to": "xxx"}],
    ids=str,
)
def test_a_conversion_that_is_none_is_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    given = {"from": "eur", "to": "usd", "amount": 10_000, "received": 10_840, **wrong}

    answer = requests.post(f"{shop.url}/_sandbox/conversions", json=given, timeout=PATIENCE)

    assert answer.status_code == 400
