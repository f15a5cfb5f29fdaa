"""Taxes at the provider: calculations, transactions, reversals, as the SDK meets them."""

from typing import Any

import pytest
import stripe

from tests.contract.conftest import Shop

DETAILS = ["line_items.data.tax_breakdown"]
BUSINESS = [{"type": "eu_vat", "value": "FR12345"}]
LOS_ANGELES = {"country": "US", "state": "CA", "postal_code": "91101"}


def calculate(
    client: stripe.StripeClient,
    *amounts: int,
    address: dict[str, str] | None = None,
    behaviour: str = "exclusive",
    code: str = "txcd_10103001",
    **more: Any,
) -> Any:
    details = {"address": address or {"country": "DE"}, "address_source": "billing", **more}
    lines = [
        {"reference": str(n), "amount": amount, "tax_behavior": behaviour, "tax_code": code}
        for n, amount in enumerate(amounts, start=1)
    ]
    asked: Any = {
        "currency": "eur",
        "customer_details": details,
        "line_items": lines,
        "expand": DETAILS,
    }
    return client.v1.tax.calculations.create(asked)


def record(client: stripe.StripeClient, calculation: Any, reference: str) -> Any:
    return client.v1.tax.transactions.create_from_calculation(
        {"calculation": calculation.id, "reference": reference, "expand": ["line_items"]}
    )


def reverse(client: stripe.StripeClient, sale: Any, reference: str, *parts: Any) -> Any:
    asked: Any = {
        "mode": "partial" if parts else "full",
        "original_transaction": sale.id,
        "reference": reference,
        "expand": ["line_items"],
    }
    if parts:
        asked["line_items"] = [
            {
                "original_line_item": line.id,
                "reference": f"{reference}-{line.reference}",
                "amount": amount,
                "amount_tax": tax,
            }
            for line, amount, tax in parts
        ]
    return client.v1.tax.transactions.create_reversal(asked)


@pytest.mark.parametrize(
    ("amount", "behaviour", "tax", "total"),
    [(10_000, "exclusive", 1_900, 11_900), (10_000, "inclusive", 1_597, 10_000)],
)
def test_a_tax_comes_on_top_or_is_contained(
    client: stripe.StripeClient, amount: int, behaviour: str, tax: int, total: int
) -> None:
    made = calculate(client, amount, behaviour=behaviour)

    assert made.tax_amount_exclusive + made.tax_amount_inclusive == tax
    assert made.amount_total == total
    (line,) = made.line_items.data
    (only,) = line.tax_breakdown
    assert (line.amount_tax, only.taxability_reason) == (tax, "standard_rated")
    assert only.tax_rate_details.percentage_decimal == "19"


def test_each_place_levies_a_tax_of_its_own(client: stripe.StripeClient) -> None:
    made = calculate(client, 10_000, address=LOS_ANGELES)

    (line,) = made.line_items.data
    assert [
        (each.jurisdiction.level, each.tax_rate_details.percentage_decimal, each.amount)
        for each in line.tax_breakdown
    ] == [
        ("state", "6", 600),
        ("county", "0.25", 25),
        ("city", "0.75", 75),
        ("district", "2.25", 225),
    ]


@pytest.mark.parametrize(
    ("address", "more", "reason"),
    [
        (
            {"country": "FR"},
            {"tax_ids": [{"type": "eu_vat", "value": "FR12345"}]},
            "reverse_charge",
        ),
        ({"country": "DE"}, {"taxability_override": "customer_exempt"}, "customer_exempt"),
        ({"country": "JP"}, {}, "not_collecting"),
        ({"country": "KP"}, {}, "not_supported"),
    ],
)
def test_why_nothing_is_levied_is_said(
    client: stripe.StripeClient, address: dict[str, str], more: dict[str, Any], reason: str
) -> None:
    made = calculate(client, 10_000, address=address, **more)

    (line,) = made.line_items.data
    assert [(each.taxability_reason, each.amount) for each in line.tax_breakdown] == [(reason, 0)]


@pytest.mark.parametrize(
    "address",
    [
        {"country": "US", "state": "CA"},
        {"country": "US", "postal_code": "91101"},
        {"country": "CA"},
        {"country": "DE", "postal_code": "00000"},
    ],
)
def test_an_address_where_nobody_can_be_is_refused(
    client: stripe.StripeClient, address: dict[str, str]
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        calculate(client, 10_000, address=address)

    assert refused.value.code == "customer_tax_location_invalid"


def test_more_lines_than_ten_come_in_pages(client: stripe.StripeClient) -> None:
    made = calculate(client, *range(100, 123))

    assert made.line_items.has_more
    found = list(
        client.v1.tax.calculations.line_items.list(
            made.id, {"limit": 5, "expand": ["data.tax_breakdown"]}
        ).auto_paging_iter()
    )
    assert [line.amount for line in found] == list(range(100, 123))
    assert all(line.tax_breakdown for line in found)
    assert client.v1.tax.calculations.retrieve(made.id).id == made.id


def test_a_calculation_is_recorded_and_taken_back_by_its_lines(
    client: stripe.StripeClient,
) -> None:
    sale = record(client, calculate(client, 10_000, 999), "inv_1")
    first, second = sale.line_items.data

    part = reverse(client, sale, "note_1", (first, -2_500, -475))
    rest = reverse(client, sale, "note_2")

    assert (sale.type, sale.reference, first.amount_tax, second.amount_tax) == (
        "transaction",
        "inv_1",
        1_900,
        190,
    )
    assert (part.type, part.reversal.original_transaction) == ("reversal", sale.id)
    assert [(line.amount, line.amount_tax) for line in rest.line_items.data] == [
        (-7_500, -1_425),
        (-999, -190),
    ]
    with pytest.raises(stripe.InvalidRequestError, match="nothing left"):
        reverse(client, sale, "note_3")
    found = client.v1.tax.transactions
    assert found.retrieve(part.id).reference == "note_1"
    assert [line.id for line in found.line_items.list(sale.id).data] == [first.id, second.id]


def test_no_more_is_taken_back_of_a_line_than_is_left(client: stripe.StripeClient) -> None:
    sale = record(client, calculate(client, 10_000), "inv_1")
    (line,) = sale.line_items.data
    reverse(client, sale, "note_1", (line, -9_000, -1_710))

    with pytest.raises(stripe.InvalidRequestError, match="More is to be reversed"):
        reverse(client, sale, "note_2", (line, -1_001, -190))


def test_a_reference_is_given_away_once(client: stripe.StripeClient) -> None:
    calculation = calculate(client, 10_000)
    sale = record(client, calculation, "inv_1")

    with pytest.raises(stripe.InvalidRequestError, match=sale.id) as refused:
        record(client, calculation, "inv_1")
    assert refused.value.param == "reference"
    with pytest.raises(stripe.InvalidRequestError, match=sale.id) as refused:
        reverse(client, sale, "inv_1")
    assert refused.value.param == "reference"


def test_a_calculation_can_be_recorded_for_90_days(client: stripe.StripeClient, shop: Shop) -> None:
    start = 1_800_000_000
    shop.control("POST", "clock", now=start)
    early, late = calculate(client, 100), calculate(client, 100)
    assert early.expires_at == start + 90 * 86_400

    shop.control("POST", "clock", now=early.expires_at - 1)
    assert record(client, early, "inv_1").posted_at == early.expires_at - 1
    shop.control("POST", "clock", now=late.expires_at)
    with pytest.raises(stripe.InvalidRequestError, match="expired") as refused:
        record(client, late, "inv_2")
    assert refused.value.param == "calculation"
