"""A draft follows from its facts: from their document as well as from the values."""

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans.terms import Cadence, PlanVersion
from billing.pricing import Charge, Credit, Facts, FactsError, Tax, TaxRounding, draft
from billing.rules.money import AmountOutOfRange, Money, prorate
from tests.unit.pricing.values import (
    amount_off,
    as_redeemed_apart,
    charge,
    facts,
    figures,
    flat_price,
    percent_off,
    unit_price,
)

VERSION = PlanVersion(
    plan="office",
    effective=date(2027, 1, 1),
    existing="keep",
    every=Cadence(1, "month"),
    trial=None,
    anchor_day=None,
    prices={"USD": 999, "KWD": 12340, "JPY": 1500},
)
GRANT = UUID(int=7)


def test_no_charges_come_to_nothing() -> None:
    drafted = draft(facts(minimum=50))

    assert (drafted.lines, drafted.total, drafted.small, drafted.due) == ((), 0, 0, 0)


@pytest.mark.parametrize("rules", [0, 2])
def test_rules_that_this_release_does_not_have_are_refused(rules: int) -> None:
    with pytest.raises(FactsError, match=f"no rules {rules}"):
        draft(replace(facts(charge(100)), rules=rules))


def test_an_amount_that_does_not_fit_the_books_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        draft(facts(charge(2**62), charge(2**62)))


@pytest.mark.parametrize("name", ["net", "tax", "total", "small", "due"])
def test_sums_that_do_not_add_up_are_no_draft(name: str) -> None:
    good = draft(
        facts(charge(1000), taxes=(Tax("VAT", Fraction(19), "DE"),), credit=(Credit(GRANT, 1),))
    )

    with pytest.raises(AssertionError):
        replace(good, **{name: getattr(good, name) + 1})


@pytest.mark.parametrize(
    ("below", "above"), [("net", "tax"), ("tax", "net"), ("small", "due"), ("due", "small")]
)
def test_nothing_of_a_draft_is_below_zero(below: str, above: str) -> None:
    good = draft(facts(charge(0)))
    line = replace(good.lines[0], net=-1 if below == "net" else 1, tax=-1 if below == "tax" else 1)
    wrong: dict[str, Any] = {below: -1, above: 1}
    if below in ("net", "tax"):
        wrong["lines"] = (line,)

    with pytest.raises(AssertionError):
        replace(good, **wrong)


def test_what_was_carried_over_is_the_last_line() -> None:
    line = draft(facts(charge(100), carried=30)).lines[-1]

    assert (line.item, line.description) == ("carried", "Carried over from the invoice before")
    assert figures(line.net, line.unit_price, line.charge, line.period) == (30, 30, None, None)
    assert figures(line.part, line.whole, line.quantity) == (1, 1, 1)


def test_less_than_nothing_is_not_carried_over() -> None:
    with pytest.raises(FactsError, match="carried over"):
        draft(facts(charge(100), carried=-1))


def test_credit_pays_in_the_order_given_and_no_more_than_the_total() -> None:
    grants = (Credit(UUID(int=1), 300), Credit(UUID(int=2), 0), Credit(GRANT, 900))

    drafted = draft(facts(charge(1000), credit=(*grants, Credit(UUID(int=9), 5))))

    assert [(each.grant.int, each.amount) for each in drafted.credit] == [(1, 300), (7, 700)]
    assert (drafted.total, drafted.due) == (1000, 0)


def test_a_grant_pays_the_last_unit() -> None:
    drafted = draft(facts(charge(1), credit=(Credit(GRANT, 1),)))

    assert ([each.amount for each in drafted.credit], drafted.due) == ([1], 0)


@pytest.mark.parametrize(
    ("price", "credit", "waives", "small", "due"),
    [
        (49, 0, True, 49, 0),
        (50, 0, True, 0, 50),
        (1000, 970, True, 30, 0),
        (1000, 970, False, 0, 30),
        (1000, 1000, True, 0, 0),
        (49, 0, False, 0, 49),
    ],
)
def test_what_is_too_small_to_be_charged_is_waived_or_stays_due(
    price: int, credit: int, waives: bool, small: int, due: int
) -> None:
    drafted = draft(
        facts(charge(price), credit=(Credit(GRANT, credit),), minimum=50, waives=waives)
    )

    assert (drafted.small, drafted.due) == (small, due)


@given(
    quantity=st.integers(1, 1000),
    currency=st.sampled_from(["USD", "KWD", "JPY"]),
    whole=st.integers(1, 366),
    data=st.data(),
)
def test_a_single_price_comes_to_the_share_of_all_units(
    quantity: int, currency: str, whole: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, whole))
    share = (1, 1) if part == whole else (part, whole)
    step = 10 if currency == "KWD" else 1
    price = VERSION.sold[0].price_in(currency)
    assert price is not None

    drafted = draft(facts(charge(price, quantity, share=share), currency=currency, step=step))

    owed = prorate(Money(VERSION.prices[currency] * quantity, currency), *share, step)
    assert (drafted.net, drafted.tax, drafted.due) == (owed.amount, 0, owed.amount)


prices = st.one_of(
    st.builds(flat_price, st.integers(0, 10**6)),
    st.builds(
        unit_price,
        st.fractions(min_value=0, max_value=1000, max_denominator=10**4),
        included=st.sampled_from([Fraction(0), Fraction(5), Fraction(1, 3)]),
        minimum=st.sampled_from([None, 500]),
        maximum=st.sampled_from([None, 5000]),
    ),
)
charges = st.builds(
    charge,
    prices,
    st.fractions(min_value=0, max_value=500, max_denominator=100),
    item=st.sampled_from(["base", "seats", "sso"]),
    share=st.sampled_from([(1, 1), (17, 31), (1, 3)]),
    once=st.booleans(),
    metered=st.booleans(),
)
taxes = st.builds(
    Tax,
    name=st.sampled_from(["VAT", "GST"]),
    rate=st.sampled_from([Fraction(0), Fraction(19), Fraction("8.875"), Fraction("33.333")]),
    jurisdiction=st.sampled_from(["DE", "CA"]),
    included=st.booleans(),
    on=st.sampled_from([None, ("base",), ("seats", "sso")]),
)
documents = st.builds(
    lambda made, **terms: facts(*made, **terms),
    st.lists(charges, max_size=5),
    discounts=st.lists(
        st.sampled_from([percent_off("12.5"), amount_off(700), percent_off(50, ["seats"])]),
        max_size=3,
    ).map(lambda redeemed: tuple(as_redeemed_apart(redeemed))),
    taxes=st.lists(taxes, max_size=3).map(tuple),
    credit=st.lists(
        st.builds(Credit, st.sampled_from([GRANT, UUID(int=2)]), st.integers(0, 5000)),
        max_size=2,
        unique_by=lambda each: each.grant,
    ).map(tuple),
    carried=st.sampled_from([0, 30]),
    minimum=st.sampled_from([0, 50]),
    waives=st.booleans(),
    tax_rounding=st.sampled_from(TaxRounding),
)


@given(documents)
def test_a_draft_follows_from_the_document_alone(made: Facts) -> None:
    assert draft(Facts.from_document(made.document())) == draft(made)


@given(documents)
def test_what_is_printed_adds_up(made: Facts) -> None:
    drafted = draft(made)

    for line in drafted.lines:
        assert min(line.gross, line.discount, line.net, line.tax) >= 0
    assert drafted.net == sum(line.net for line in drafted.lines)
    assert drafted.tax == sum(line.tax for line in drafted.lines)
    assert drafted.tax == sum(each.amount for each in drafted.taxes)
    assert drafted.discount == sum(each.amount for each in drafted.discounts)
    contained = sum(each.amount for each in drafted.taxes if each.included)
    gross = sum(line.gross for line in drafted.lines)
    assert gross == drafted.net + drafted.discount + contained
    assert drafted.total == sum(each.amount for each in drafted.credit) + (
        drafted.small + drafted.due
    )


@given(st.lists(charges, min_size=1, max_size=5), st.integers(1, 1000))
def test_a_dearer_charge_never_makes_an_invoice_cheaper(made: list[Charge], more: int) -> None:
    dearer = replace(made[0], price=flat_price(made[0].price.amount + more))
    base = replace(made[0], price=flat_price(made[0].price.amount))

    assert draft(facts(dearer, *made[1:])).total >= draft(facts(base, *made[1:])).total
