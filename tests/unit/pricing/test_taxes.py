"""Taxes: one total a group, rounded once, and never more than there is to tax."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Facts, FactsError, InvoiceDraft, Tax, TaxRounding, draft
from tests.unit.pricing.values import amount_off, charge, facts


def vat(rate: str | int = 19, **terms: object) -> Tax:
    return Tax("VAT", Fraction(rate), "DE", **terms)  # type: ignore[arg-type]


def taxed(amounts: Sequence[int], *decided: Tax, step: int = 1) -> InvoiceDraft:
    charges = [charge(amount, item=f"item-{n}") for n, amount in enumerate(amounts)]
    return draft(facts(*charges, taxes=decided, step=step))


def test_tax_comes_on_top_of_the_net() -> None:
    drafted = taxed([1000, 500], vat())

    assert (drafted.net, drafted.tax, drafted.total) == (1500, 285, 1785)
    assert [(line.net, line.tax) for line in drafted.lines] == [(1000, 190), (500, 95)]
    assert (drafted.taxes[0].base, drafted.taxes[0].lines) == (1500, (0, 1))


def test_tax_that_prices_contain_comes_out_of_them() -> None:
    drafted = taxed([299, 100], vat(4, included=True))

    assert (drafted.total, drafted.net, drafted.tax) == (399, 384, 15)
    assert [(line.gross, line.net, line.tax) for line in drafted.lines] == [
        (299, 288, 11), (100, 96, 4),
    ]  # fmt: skip
    assert drafted.taxes[0].base == 384


def test_the_sum_of_a_group_is_rounded_and_not_each_line() -> None:
    drafted = taxed([43] * 30, vat())

    assert drafted.tax == 245
    assert {line.tax for line in drafted.lines} == {8, 9}


def test_where_it_must_be_each_line_is_rounded() -> None:
    lines = [charge(amount, item=f"item-{n}") for n, amount in enumerate((5555, 1111))]
    by_line = facts(*lines, taxes=(vat(23),), tax_rounding=TaxRounding.LINE)
    contained = facts(*lines, taxes=(vat(23, included=True),), tax_rounding=TaxRounding.LINE)

    assert [line.tax for line in draft(by_line).lines] == [1278, 256]
    assert draft(by_line).tax == 1534
    assert taxed([5555, 1111], vat(23)).tax == 1533
    assert [line.tax for line in draft(contained).lines] == [1039, 208]
    assert Facts.from_document(by_line.document()) == by_line


def test_a_discount_is_taken_off_first() -> None:
    drafted = draft(facts(charge(8500), discounts=(amount_off(7500),), taxes=(vat(),)))

    assert (drafted.net, drafted.tax) == (1000, 190)


def test_nothing_left_is_a_group_without_tax() -> None:
    drafted = draft(facts(charge(500), discounts=(amount_off(700),), taxes=(vat(),)))

    assert [(each.base, each.amount, each.lines) for each in drafted.taxes] == [(0, 0, (0,))]


def test_several_taxes_do_not_compound_and_round_apart() -> None:
    drafted = taxed([1050], vat(10), Tax("Local", Fraction(10), "DE"))

    assert [each.amount for each in drafted.taxes] == [105, 105]
    assert drafted.lines[0].tax == 210


def test_several_taxes_in_a_price_share_its_net() -> None:
    contained = (vat(10, included=True), Tax("Local", Fraction(15), "DE", included=True))

    drafted = taxed([1250], *contained)

    assert [each.amount for each in drafted.taxes] == [100, 150]
    assert [each.base for each in drafted.taxes] == [1000, 1000]


def test_a_tax_is_split_by_what_each_price_has_of_it() -> None:
    on_both, on_one = vat(20, included=True), Tax("Local", Fraction(30), "DE", included=True)

    drafted = taxed([1000, 1000], on_both, replace(on_one, on=("item-0",)))

    assert drafted.taxes[0].parts == (133, 167)
    assert drafted.taxes[1].parts == (200, 0)
    assert [line.net for line in drafted.lines] == [667, 833]


def test_a_group_has_what_was_decided() -> None:
    found = taxed([1000], vat("8.875", treatment="reduced", reason="books")).taxes[0]

    assert (found.name, found.jurisdiction, found.treatment) == ("VAT", "DE", "reduced")
    assert (found.rate, found.included, found.reason) == (Fraction("8.875"), False, "books")


def test_a_tax_on_top_is_of_the_net_of_one_that_the_price_contains() -> None:
    drafted = taxed([1100], Tax("Local", Fraction(5), "DE"), vat(10, included=True))

    assert [(each.name, each.base, each.amount) for each in drafted.taxes] == [
        ("Local", 1000, 50), ("VAT", 1000, 100),
    ]  # fmt: skip
    assert (drafted.net, drafted.total) == (1000, 1150)


def test_items_have_the_rates_that_name_them() -> None:
    drafted = taxed([1000, 2000, 300], vat(20, on=("item-0", "item-2")), vat(10, on=("item-1",)))

    assert [line.tax for line in drafted.lines] == [200, 200, 60]
    assert [each.lines for each in drafted.taxes] == [(0, 2), (1,)]


def test_equal_taxes_are_one_group_and_a_line_bears_it_once() -> None:
    drafted = taxed([1000, 2000], vat(on=("item-0",)), vat(on=("item-0", "item-1")))

    assert [(each.base, each.amount) for each in drafted.taxes] == [(3000, 570)]


def test_a_tax_that_no_line_bears_is_left_out() -> None:
    assert taxed([1000], vat(on=("other",))).taxes == ()


@pytest.mark.parametrize("treatment", ["reverse_charge", "exempt"])
def test_why_there_is_no_tax_is_kept(treatment: str) -> None:
    drafted = taxed([1000], vat(0, treatment=treatment, reason="article 196"))

    found = drafted.taxes[0]
    assert (found.treatment, found.reason, found.base, found.amount) == (
        treatment, "article 196", 1000, 0,
    )  # fmt: skip


def test_what_was_carried_over_bears_tax_where_all_lines_do() -> None:
    assert draft(facts(charge(1000), carried=100, taxes=(vat(10),))).tax == 110


def test_tax_keeps_the_steps_that_can_be_charged() -> None:
    on_top, contained = vat("5.5"), vat("5.5", included=True)

    assert taxed([12340, 50], on_top, step=10).tax == 680
    assert [line.tax % 10 for line in taxed([12340, 50], on_top, step=10).lines] == [0, 0]
    assert [line.tax % 10 for line in taxed([12340, 50], contained, step=10).lines] == [0, 0]


def test_a_rate_below_zero_is_no_fact() -> None:
    with pytest.raises(FactsError, match="rate"):
        taxed([1000], vat(-1))


def test_many_small_lines_are_not_taxed_below_nothing() -> None:
    contained = [Tax(f"tax {n}", Fraction(10), "XX", included=True) for n in range(4)]

    drafted = taxed([1] * 30, *contained)

    assert min(line.net for line in drafted.lines) >= 0
    assert drafted.total == 30


rates = st.fractions(min_value=0, max_value=60, max_denominator=1000)


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=6),
    st.lists(st.tuples(rates, st.booleans()), max_size=3),
    st.sampled_from([1, 10]),
)
def test_taxes_add_up_and_leave_the_price_that_contains_them(
    amounts: list[int], given_rates: list[tuple[Fraction, bool]], step: int
) -> None:
    decided = [Tax(f"t{n}", rate, "XX", included=c) for n, (rate, c) in enumerate(given_rates)]

    drafted = taxed([amount * step for amount in amounts], *decided, step=step)

    for each in drafted.taxes:
        assert sum(each.parts) == each.amount
        assert min(each.parts) >= 0
    for index, line in enumerate(drafted.lines):
        contained = sum(each.parts[index] for each in drafted.taxes if each.included)
        assert line.net + contained == line.gross
        assert line.net >= 0
    assert drafted.total % step == 0


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=5), rates)
def test_a_group_is_off_by_half_a_unit_at_most(amounts: list[int], rate: Fraction) -> None:
    exact = sum(amounts) * rate / 100

    assert abs(taxed(amounts, vat(str(rate))).tax - exact) <= Fraction(1, 2)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=5), rates)
def test_tax_in_prices_is_off_by_half_a_unit_at_most(amounts: list[int], rate: Fraction) -> None:
    exact = sum(amounts) * rate / (100 + rate)

    assert abs(taxed(amounts, vat(str(rate), included=True)).tax - exact) <= Fraction(1, 2)
