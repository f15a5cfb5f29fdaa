"""Report files: Stripe's columns, major units, and no more memory for more rows."""

import csv
import io
import time
import tracemalloc
from typing import Any

import pytest
import requests
import stripe

from billing.sandbox import reports
from billing.sandbox.reports import made_up_lines, write_report
from tests.contract.cards import charge, customer_with
from tests.contract.conftest import Shop
from tests.waiting import PATIENCE

DAY = 86_400
MIDNIGHT = 1_799_971_200  # 2027-01-15 00:00 UTC
EXACT = ["balance_transaction_id", "reporting_category", "currency", "gross", "fee", "net"]


@pytest.fixture
def payout(client: stripe.StripeClient, shop: Shop) -> dict[str, Any]:
    """A payout of two charges, a refund and a chargeback; a third charge isn't in it."""
    shop.control("POST", "clock", now=MIDNIGHT)
    customer, method = customer_with(client)
    paid = [charge(client, customer, method, amount=amount).id for amount in (10_005, 20_000)]
    client.v1.refunds.create({"payment_intent": paid[0], "amount": 5, "metadata": {"case": "7"}})
    shop.control("POST", "disputes", payment_intent=paid[1], amount=300)
    shop.control("POST", "clock", now=MIDNIGHT + 2 * DAY)
    charge(client, customer, method)
    return shop.control("POST", "payouts", currency="usd")


def _rows(url: str) -> list[dict[str, str]]:
    answer = requests.get(url, timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def _run(client: stripe.StripeClient, kind: str, **parameters: Any) -> list[dict[str, str]]:
    runs = client.v1.reporting.report_runs
    run = runs.create({"report_type": kind, "parameters": parameters})  # type: ignore[typeddict-item]
    assert (run.status, run.result) == ("pending", None)
    while run.status == "pending":
        time.sleep(0.02)
        run = runs.retrieve(run.id)
    assert run.result is not None
    rows = _rows(str(run.result.url))
    assert len(requests.get(str(run.result.url), timeout=PATIENCE).content) == run.result.size
    return rows


def test_a_payout_report_agrees_with_the_list_api_to_the_cent(
    client: stripe.StripeClient, payout: dict[str, Any]
) -> None:
    rows = _run(
        client,
        reports.PAYOUT,
        interval_start=payout["arrival_date"],
        interval_end=payout["arrival_date"] + 1,
    )

    assert list(rows[0]) == list(reports.DEFAULT_COLUMNS[reports.PAYOUT])
    listed = client.v1.balance_transactions.list({"payout": payout["id"], "limit": 100}).data
    assert {row["balance_transaction_id"]: round(float(row["net"]) * 100) for row in rows} == {
        move.id: move.net for move in listed if move.type != "payout"
    }
    assert [(row["reporting_category"], row["gross"], row["fee"], row["net"]) for row in rows] == [
        ("charge", "100.05", "3.20", "96.85"),
        ("charge", "200.00", "6.10", "193.90"),
        ("refund", "-0.05", "0.00", "-0.05"),
        ("dispute", "-3.00", "15.00", "-18.00"),
    ]
    assert {row["automatic_payout_id"] for row in rows} == {payout["id"]}
    assert rows[0]["created"] == "2027-01-15 00:00:00"
    assert rows[0]["automatic_payout_effective_at"] == "2027-01-19 00:00:00"
    types = [event.type for event in client.v1.events.list({"limit": 1}).data]
    assert types == ["reporting.report_run.succeeded"]


def test_a_payout_outside_the_interval_is_left_out(
    client: stripe.StripeClient, payout: dict[str, Any]
) -> None:
    end = payout["arrival_date"]

    assert _run(client, reports.PAYOUT, interval_start=end - DAY, interval_end=end) == []


def test_the_ending_balance_is_what_no_payout_has_brought_yet(
    client: stripe.StripeClient, payout: dict[str, Any]
) -> None:
    arrival = payout["arrival_date"]

    before = _run(client, reports.ENDING, interval_end=arrival)
    after = _run(client, reports.ENDING, interval_end=arrival + 1)

    assert (len(before), [row["net"] for row in after]) == (5, ["19.12"])


def test_columns_zone_and_filters_can_be_chosen(
    client: stripe.StripeClient, shop: Shop, payout: dict[str, Any]
) -> None:
    columns = [
        *("created", "created_utc", "source_id", "charge_id", "payment_intent_id"),
        *("payment_metadata[payment]", "refund_metadata[case]", "customer_facing_amount"),
        *("customer_email", "card_brand", "invoice_id"),
    ]

    rows = _run(
        client,
        reports.PAYOUT_BY_ID,
        payout=payout["id"],
        columns=columns,
        timezone="Asia/Tokyo",
        reporting_category="refund",
    )

    refund = client.v1.refunds.list().data[0]
    assert [list(row.values()) for row in rows] == [
        [
            *("2027-01-15 09:00:00", "2027-01-15 00:00:00", refund.id, refund.charge),
            *(refund.payment_intent, "pay-1", "7", "-0.05", "ada@example.com", "visa", ""),
        ]
    ]


def test_a_report_settled_elsewhere_shows_what_the_customer_paid(
    client: stripe.StripeClient, shop: Shop
) -> None:
    shop.control(
        "POST",
        "settings",
        settlement_currency={"jpy": "usd"},
        exchange_rates={"jpy:usd": "0.0067"},
    )
    charge(client, *customer_with(client), amount=1200, currency="jpy")
    now = shop.control("GET", "clock")["now"]

    made = shop.control(
        "POST",
        "reports",
        report_type=reports.ENDING,
        parameters={
            "interval_end": now + 10,
            "columns": ["currency", "gross", "customer_facing_amount", "customer_facing_currency"],
        },
    )

    assert [list(row.values()) for row in _rows(made["result"]["url"])] == [
        ["usd", "8.04", "1200", "jpy"]
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        {"report_type": "balance.summary.9"},
        {"report_type": reports.ENDING},
        {"report_type": reports.PAYOUT_BY_ID, "parameters": {"payout": "po_nothing"}},
        {
            "report_type": reports.PAYOUT,
            "parameters": {"interval_start": 2, "interval_end": 1},
        },
        {
            "report_type": reports.ENDING,
            "parameters": {"interval_end": 1, "columns": ["colour"]},
        },
        {
            "report_type": reports.ENDING,
            "parameters": {"interval_end": 1, "timezone": "Mars/Base"},
        },
    ],
)
def test_a_report_that_cannot_be_made_is_refused(client: stripe.StripeClient, wanted: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.reporting.report_runs.create(wanted)


def test_the_report_types_name_their_columns(client: stripe.StripeClient) -> None:
    types = client.v1.reporting.report_types.list().data

    one = client.v1.reporting.report_types.retrieve(reports.PAYOUT)
    assert {each.id for each in types} == set(reports.DEFAULT_COLUMNS)
    assert (one.version, one.default_columns) == (5, list(reports.DEFAULT_COLUMNS[reports.PAYOUT]))


@pytest.mark.parametrize("name", ["frr_nothing.csv", "..%2Fsandbox.sqlite3", "x"])
def test_only_report_files_are_handed_out(shop: Shop, name: str) -> None:
    assert requests.get(f"{shop.url}/_sandbox/reports/{name}", timeout=PATIENCE).status_code == 404


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, text: str, /) -> object:
        return len(text)


def test_more_rows_need_no_more_memory() -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        lines = made_up_lines(rows, start=MIDNIGHT)
        assert write_report(_Nowhere(), lines, reports.DEFAULT_COLUMNS[reports.PAYOUT]) == rows
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(20_000) < 2 * peak(1_000)


def test_made_up_lines_are_the_same_every_time_and_add_up() -> None:
    lines = list(made_up_lines(1000, start=MIDNIGHT, a_payout=100))

    assert lines == list(made_up_lines(1000, start=MIDNIGHT, a_payout=100))
    assert len({line.id for line in lines}) == 1000
    assert len({line.payout for line in lines}) == 10
    charges = {line.charge for line in lines if line.category == "charge"}
    assert {line.charge for line in lines if line.category == "refund"} <= charges
