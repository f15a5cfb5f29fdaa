"""The document of facts: what is stored never changes its form, and is read back as it was."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.items import ItemPrice, PriceModel, PriceTier
from billing.plans.numbers import exact_text
from billing.pricing import (
    Charge,
    Credit,
    Discount,
    Facts,
    FactsError,
    InvoiceKind,
    Tax,
    TaxRounding,
    digest_of,
    draft,
)
from billing.rules.periods import Period
from tests.unit.pricing.values import JANUARY, charge, facts, flat_price, tiered

SMALLEST: Final = facts(charge(999))
SMALLEST_DOCUMENT: Final = (
    '{"charges":[{"item":"base","name":"Base","period":["2027-01-01T00:00:00Z",'
    '"2027-02-01T00:00:00Z"],"price":{"amount":"999","model":"flat"},'
    f'"source":"plan:office:2027-01-01","terms":"{"0" * 64}"}}],'
    '"currency":"USD","kind":"cycle","rules":1,"zone":"UTC"}'
)

ALL_TERMS: Final = ItemPrice(
    PriceModel.GRADUATED,
    Fraction(1, 3),
    tiers=(PriceTier(5, Fraction("0.08"), 20), PriceTier(None, Fraction(2, 3))),
    size=10,
    round="down",
    included=Fraction("2.5"),
    minimum=100,
    maximum=5000,
)
FULL: Final = Facts(
    kind=InvoiceKind.CHANGE,
    currency="KWD",
    zone="Asia/Kuwait",
    charges=(
        Charge(
            item="seats",
            name="S\u00fc\u00df",
            price=ALL_TERMS,
            quantity=Fraction(7, 2),
            period=Period(JANUARY.start.replace(microsecond=5), JANUARY.end),
            source="addon:seats:2027-01-01",
            terms="ab",
            part=17,
            whole=31,
            once=True,
            metered=True,
            before=Fraction(3),
        ),
    ),
    discounts=(
        Discount(UUID(int=1), "spring", percent=Fraction("12.5"), on=("base", "seats")),
        Discount(UUID(int=2), "ten", amount=1000),
    ),
    taxes=(
        Tax("VAT", Fraction("8.875"), "KW"),
        Tax("GST", Fraction(0), "XX", "exempt", included=True, on=("base",), reason="small"),
    ),
    credit=(Credit(UUID(int=3), 40),),
    carried=30,
    step=10,
    minimum=50,
    waives=False,
    tax_rounding=TaxRounding.LINE,
)
FULL_DOCUMENT: Final = {
    "rules": 1,
    "kind": "change",
    "currency": "KWD",
    "zone": "Asia/Kuwait",
    "charges": [
        {
            "item": "seats",
            "name": "S\u00fc\u00df",
            "price": {
                "model": "graduated",
                "amount": "1/3",
                "tiers": [[5, "0.08", 20], [None, "2/3", 0]],
                "size": 10,
                "round": "down",
                "included": "2.5",
                "minimum": 100,
                "maximum": 5000,
            },
            "quantity": "3.5",
            "period": ["2027-01-01T00:00:00.000005Z", "2027-02-01T00:00:00Z"],
            "source": "addon:seats:2027-01-01",
            "terms": "ab",
            "share": [17, 31],
            "once": True,
            "metered": True,
            "before": "3",
        }
    ],
    "discounts": [
        {
            "redemption": "00000000-0000-0000-0000-000000000001",
            "coupon": "spring",
            "percent": "12.5",
            "on": ["base", "seats"],
        },
        {
            "redemption": "00000000-0000-0000-0000-000000000002",
            "coupon": "ten",
            "amount": 1000,
        },
    ],
    "taxes": [
        {"name": "VAT", "rate": "8.875", "jurisdiction": "KW"},
        {
            "name": "GST",
            "rate": "0",
            "jurisdiction": "XX",
            "treatment": "exempt",
            "included": True,
            "on": ["base"],
            "reason": "small",
        },
    ],
    "credit": [["00000000-0000-0000-0000-000000000003", 40]],
    "carried": 30,
    "step": 10,
    "minimum": 50,
    "waives": False,
    "tax_rounding": "line",
}


def test_the_document_of_the_smallest_facts() -> None:
    assert SMALLEST.document() == SMALLEST_DOCUMENT
    assert Facts.from_document(SMALLEST_DOCUMENT) == SMALLEST


def test_what_is_invoiced_for_no_period_has_none_in_the_document() -> None:
    order = replace(facts(replace(charge(999), period=None)), kind=InvoiceKind.ONE_OFF)

    assert '"period"' not in order.document()
    assert Facts.from_document(order.document()) == order
    (line,) = draft(order).lines
    assert (line.period, line.description, line.net) == (None, "Base", 999)


def test_the_document_of_facts_with_everything() -> None:
    assert json.loads(FULL.document()) == FULL_DOCUMENT
    assert FULL.document().isascii()
    assert Facts.from_document(FULL.document()) == FULL


def test_a_price_in_tiers_has_no_amount_of_its_own() -> None:
    seats = tiered(PriceModel.VOLUME, (5, 0, 0), (None, 950, 20))

    document = facts(charge(seats)).document()

    assert json.loads(document)["charges"][0]["price"] == {
        "model": "volume", "tiers": [[5, "0", 0], [None, "950", 20]],
    }  # fmt: skip
    assert Facts.from_document(document) == facts(charge(seats))


def test_what_is_missing_has_its_default() -> None:
    bare = Facts.from_document('{"currency":"USD","kind":"cycle","rules":1,"zone":"UTC"}')

    assert bare == Facts(InvoiceKind.CYCLE, "USD", "UTC")
    assert (bare.step, bare.minimum, bare.carried, bare.waives) == (1, 0, 0, True)


@pytest.mark.parametrize(
    ("terms", "stored"),
    [
        ({"quantity": Fraction(2)}, {"quantity": "2"}),
        ({"part": 1, "whole": 2}, {"share": [1, 2]}),
        ({"once": True}, {"once": True}),
        ({"metered": True}, {"metered": True}),
        ({"before": Fraction(1)}, {"before": "1"}),
        ({"price": flat_price(999, size=1)}, {"price": {"size": 1}}),
        ({"price": flat_price(999, round="down")}, {"price": {"round": "down"}}),
        ({"price": flat_price(999, included=Fraction(1))}, {"price": {"included": "1"}}),
        ({"price": flat_price(999, minimum=0)}, {"price": {"minimum": 0}}),
        ({"price": flat_price(999, maximum=0)}, {"price": {"maximum": 0}}),
    ],
)
def test_each_term_of_a_charge_is_stored_where_it_is_not_the_default(
    terms: dict[str, Any], stored: dict[str, Any]
) -> None:
    made = replace(SMALLEST, charges=(replace(SMALLEST.charges[0], **terms),))

    found = json.loads(made.document())["charges"][0]

    plain = json.loads(SMALLEST_DOCUMENT)["charges"][0]
    assert found == plain | stored | {"price": plain["price"] | stored.get("price", {})}
    assert Facts.from_document(made.document()) == made


@pytest.mark.parametrize(
    ("terms", "stored"),
    [
        ({"carried": 1}, {"carried": 1}),
        ({"step": 10}, {"step": 10}),
        ({"minimum": 1}, {"minimum": 1}),
        ({"waives": False}, {"waives": False}),
        ({"rules": 2}, {"rules": 2}),
        ({"tax_rounding": TaxRounding.LINE}, {"tax_rounding": "line"}),
    ],
)
def test_each_fact_is_stored_where_it_is_not_the_default(
    terms: dict[str, Any], stored: dict[str, Any]
) -> None:
    made = replace(SMALLEST, **terms)

    assert json.loads(made.document()) == json.loads(SMALLEST_DOCUMENT) | stored
    assert Facts.from_document(made.document()) == made


def test_an_instant_is_stored_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    same = json.loads(SMALLEST_DOCUMENT)
    same["charges"][0]["period"] = [
        JANUARY.start.astimezone(berlin).isoformat(),
        JANUARY.end.astimezone(berlin).isoformat(),
    ]

    with pytest.raises(FactsError, match="canonical"):
        Facts.from_document(json.dumps(same, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        "null",
        SMALLEST_DOCUMENT.replace('"rules":1', '"rule":1'),
        SMALLEST_DOCUMENT.replace('"cycle"', '"circle"'),
        SMALLEST_DOCUMENT.replace('"999"', '"9,99"'),
        SMALLEST_DOCUMENT.replace('"zone":"UTC"', '"tax_rounding":"up","zone":"UTC"'),
    ],
)
def test_what_is_no_document_of_facts_is_refused(document: str) -> None:
    with pytest.raises(FactsError, match="no facts of an invoice"):
        Facts.from_document(document)


@pytest.mark.parametrize(
    "document",
    [
        SMALLEST_DOCUMENT.replace('"zone":"UTC"', '"zone":"UTC","zones":1'),
        SMALLEST_DOCUMENT.replace('"rules":1', '"rules": 1'),
        SMALLEST_DOCUMENT.replace('"rules":1', '"carried":0,"rules":1'),
        SMALLEST_DOCUMENT.replace('"999"', '"999.0"'),
    ],
)
def test_another_way_to_write_facts_is_refused(document: str) -> None:
    with pytest.raises(FactsError, match="isn't canonical"):
        Facts.from_document(document)


def test_the_digest_is_that_of_the_text() -> None:
    assert digest_of("{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(12), "12"),
        (Fraction(0), "0"),
        (Fraction(-3), "-3"),
        (Fraction("0.08"), "0.08"),
        (Fraction("0.5"), "0.5"),
        (Fraction("12.25"), "12.25"),
        (Fraction("-0.004"), "-0.004"),
        (Fraction(1, 3), "1/3"),
        (Fraction(-1, 6), "-1/6"),
        (Fraction("33.333"), "33.333"),
        (Fraction("0.000000000001"), "0.000000000001"),
        (Fraction(1, 1024), "0.0009765625"),
        (Fraction(1, 20), "0.05"),
    ],
)
def test_a_fraction_is_written_exactly(value: Fraction, text: str) -> None:
    assert exact_text(value) == text


@given(st.fractions(max_denominator=10**7))
def test_a_fraction_is_read_back_as_it_was(value: Fraction) -> None:
    assert Fraction(exact_text(value)) == value


def test_instants_of_a_period_are_read_back_as_they_were() -> None:
    period = Period(datetime(2027, 1, 1, 10, 30, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    made = facts(charge(100, period=period))

    assert Facts.from_document(made.document()) == made
