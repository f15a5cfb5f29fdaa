"""The daily batch, the disbursement, and the fees of a day."""

import csv
from decimal import Decimal  # noqa: TID251  the SDK's amounts
from typing import Any

import braintree
import pytest
import requests

from tests.contract.braintree.shop import BEGIN, DAY, HOUR, PAYPAL, Shop, codes, statuses
from tests.waiting import PATIENCE

FEES = """
query TransactionLevelFeeReport($date: Date!, $merchantAccountId: ID) {
  report { transactionLevelFees(date: $date, merchantAccountId: $merchantAccountId) { url } }
}
"""


def test_a_sale_goes_into_the_next_batch_settles_and_is_disbursed(shop: Shop) -> None:
    sale = shop.sold("10.00")

    shop.at(BEGIN + DAY - 1)
    assert shop.gateway.transaction.find(sale.id).status == "submitted_for_settlement"
    shop.at(BEGIN + DAY)
    assert shop.gateway.transaction.find(sale.id).status == "settling"
    shop.at(BEGIN + DAY + HOUR)
    settled = shop.gateway.transaction.find(sale.id)
    assert (settled.status, settled.disbursement_details.is_valid) == ("settled", False)
    shop.at(BEGIN + 3 * DAY + HOUR)

    found = shop.gateway.transaction.find(sale.id)
    paid = found.disbursement_details
    assert found.settlement_batch_id.startswith("2026-01-06_default")
    assert str(paid.disbursement_date) == "2026-01-08"
    assert (paid.settlement_amount, paid.settlement_currency_iso_code) == (Decimal("10.00"), "USD")
    assert (paid.success, paid.funds_held) == (True, False)
    assert statuses(found) == ["authorized", "submitted_for_settlement", "settling", "settled"]
    assert [int(each.timestamp.timestamp()) - BEGIN for each in found.status_history[2:]] == [
        DAY,
        DAY + HOUR,
    ]


def test_what_the_clock_jumps_over_is_dated_when_it_was_due(shop: Shop) -> None:
    sale = shop.sold()

    shop.later(40 * DAY)

    found = shop.gateway.transaction.find(sale.id)
    assert int(found.status_history[3].timestamp.timestamp()) == BEGIN + DAY + HOUR
    assert str(found.disbursement_details.disbursement_date) == "2026-01-08"


def test_the_settlement_hour_can_be_set(shop: Shop) -> None:
    shop.settings(settlement_hour=17)
    sale = shop.sold()

    shop.at(BEGIN + 17 * HOUR)

    assert shop.gateway.transaction.find(sale.id).status == "settling"


@pytest.mark.parametrize(
    ("nonce", "amount", "status", "code"),
    [
        ("sbx_card_settlement_declined", "10.00", "settlement_declined", "4001"),
        ("sbx_paypal_settlement_declined", "10.00", "settlement_declined", "4001"),
        ("sbx_paypal_settlement_pending", "10.00", "settlement_pending", "4002"),
        (PAYPAL, "4001.00", "settlement_declined", "4001"),
        (PAYPAL, "4002.00", "settlement_pending", "4002"),
        ("fake-valid-visa-nonce", "4001.00", "settled", "4000"),
    ],
)
def test_a_settlement_can_be_declined_or_left_pending(
    shop: Shop, nonce: str, amount: str, status: str, code: str
) -> None:
    sale = shop.settled(amount, nonce)

    assert (sale.status, sale.processor_settlement_response_code) == (status, code)


def test_money_settles_in_another_currency_at_the_merchant_accounts_rate(shop: Shop) -> None:
    shop.settings(
        merchant_accounts={
            "yen": {"currency": "JPY", "settlement_currency": "USD", "exchange_rate": "0.0067"}
        }
    )
    sale = shop.settled("1200")

    shop.later(2 * DAY)

    paid = shop.gateway.transaction.find(sale.id).disbursement_details
    assert (paid.settlement_amount, paid.settlement_currency_iso_code) == (Decimal("8.04"), "USD")
    assert paid.settlement_currency_exchange_rate == Decimal("0.0067")


def test_transactions_are_found_by_the_day_of_their_disbursement(shop: Shop) -> None:
    search = braintree.TransactionSearch
    first = shop.settled()
    second = shop.settled()
    shop.later(3 * DAY)

    def on(*criteria: Any) -> set[str]:
        return {each.id for each in shop.gateway.transaction.search(*criteria).items}

    day = shop.gateway.transaction.find(first.id).disbursement_details.disbursement_date
    assert on(search.disbursement_date == day) == {first.id}
    assert on(search.disbursement_date >= day) == {first.id, second.id}
    assert on(search.disbursement_date <= day) == {first.id}


def test_the_batch_summary_counts_what_settled(shop: Shop) -> None:
    for amount, nonce in (("10.00", None), ("5.50", None), ("7.00", "fake-valid-mastercard-nonce")):
        shop.sold(amount, nonce or "fake-valid-visa-nonce", custom_fields={"engine": "e1"})
    sale = shop.settled("3.00", PAYPAL)
    day = sale.settlement_batch_id.split("_")[0]

    summary = shop.gateway.settlement_batch_summary

    rows = summary.generate(day).settlement_batch_summary.records
    assert [(row["card_type"], row["count"], row["amount_settled"]) for row in rows] == [
        ("MasterCard", "1", "7.00"),
        ("PayPal", "1", "3.00"),
        ("Visa", "2", "15.50"),
    ]
    grouped = summary.generate(day, "engine").settlement_batch_summary.records
    assert {row["engine"] for row in grouped if row["card_type"] == "Visa"} == {"e1"}
    assert summary.generate("2020-01-01").settlement_batch_summary.records == []
    assert codes(summary.generate("no day")) == ["82302"]


def test_the_fee_report_has_a_row_for_each_transaction_of_the_day(shop: Shop) -> None:
    shop.settings(merchant_accounts={"default": {"fee_rate": "0.0290", "fee_fixed": "0.30"}})
    sale = shop.settled("100.00", order_id="invoice-1")
    refund = shop.gateway.transaction.refund(sale.id, "40.00").transaction
    shop.later(3 * DAY)

    (row,) = fee_report(shop, "2026-01-08")
    (back,) = fee_report(shop, "2026-01-09")

    assert (row["Transaction ID"], row["Order ID"]) == (sale.id, "invoice-1")
    assert (row["Settlement Amount"], row["Settlement Currency"]) == ("100.00", "USD")
    assert (row["Settlement Date"], row["Disbursement Date"]) == ("2026-01-06", "2026-01-08")
    assert (row["Discount"], row["Per Transaction Fee"], row["Total Fee Amount"]) == (
        "0.0290",
        "0.30",
        "3.20",
    )
    assert (back["Transaction Type"], back["Original Transaction ID"]) == ("credit", sale.id)
    assert (back["Transaction ID"], back["Total Fee Amount"]) == (refund.id, "0.00")


def test_a_day_without_a_disbursement_has_no_fee_report(shop: Shop) -> None:
    shop.settled()

    assert fee_report(shop, "2026-01-06") == []


def test_a_fee_report_of_an_unknown_merchant_account_is_refused(shop: Shop) -> None:
    shop.sold()
    client = shop.gateway.config.graphql_client()

    answer = client.query(FEES, {"date": "2026-01-08", "merchantAccountId": "none"})

    client.close()
    assert answer["errors"][0]["message"] == "Invalid merchant account id: none"


def fee_report(shop: Shop, date: str) -> list[dict[str, str]]:
    """Return the rows of a day's report, asked for as the SDK can."""
    client = shop.gateway.config.graphql_client()
    answer = client.query(FEES, {"date": date, "merchantAccountId": "default"})
    client.close()
    url = answer["data"]["report"]["transactionLevelFees"]["url"]
    if url is None:
        return []
    return list(csv.DictReader(requests.get(url, timeout=PATIENCE).text.splitlines()))


def test_paypals_money_can_stay_in_the_paypal_account(shop: Shop) -> None:
    shop.settings(
        paypal_disbursed=False,
        merchant_accounts={"default": {"fee_rate": "0.0349", "fee_fixed": "0.49"}},
    )
    sale = shop.settled("100.00", PAYPAL)

    shop.later(5 * DAY)

    found = shop.gateway.transaction.find(sale.id)
    assert (found.status, found.disbursement_details.is_valid) == ("settled", False)
    assert found.paypal_details.transaction_fee_amount == "3.98"
    assert fee_report(shop, "2026-01-08") == []


def test_fees_can_be_taken_from_the_disbursement(shop: Shop) -> None:
    shop.settings(
        fees_from_disbursement=True,
        merchant_accounts={"default": {"fee_rate": "0.0290", "fee_fixed": "0.30"}},
    )
    shop.settled("100.00")
    shop.later(3 * DAY)

    told = shop.control("GET", "braintree/notifications")["notifications"]

    (paid,) = [each for each in told if each["kind"] == "disbursement"]
    assert paid["amount"] == "96.80"
