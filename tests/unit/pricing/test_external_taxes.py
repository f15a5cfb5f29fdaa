"""Taxes that a provider computed: taken as they are, added up, and given back to the last unit."""

from datetime import UTC, date, datetime
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import (
    Facts,
    InvoiceDraft,
    Noted,
    Return,
    credit_note,
    draft,
    tax_from_json,
    tax_to_json,
)
from billing.pricing.facts import FactsError, Tax
from billing.tax import Buyer
from billing.tax.calls import LineBack, read_reversal, reversal_document
from billing.tax.decisions import external_decision, read_response
from billing.tax.external import (
    ExternalAnswer,
    ExternalRequest,
    LineTax,
    LineTaxes,
    LineToTax,
    answers,
    is_external,
    taxes_of,
)
from tests.unit.pricing.values import charge, facts

PLACES = ("state", "county", "city", "district")


def tax(amount: int, name: str = "state", rate: str = "6", **more: str) -> LineTax:
    given_ = {"jurisdiction": "US-CA", "treatment": "standard", "reason": ""} | more
    return LineTax(name=name, rate=Fraction(rate), taxable=0, amount=amount, **given_)


def answer(*lines: LineTaxes) -> ExternalAnswer:
    return ExternalAnswer("calc_1", datetime(2026, 4, 1, tzinfo=UTC), lines)


def invoice(prices: list[int], *lines: LineTaxes) -> InvoiceDraft:
    charges = [charge(price, item=f"item-{n}") for n, price in enumerate(prices)]
    return draft(facts(*charges, taxes=taxes_of(answer(*lines))))


def test_amounts_are_taken_as_they_are_and_only_added_up() -> None:
    made = invoice(
        [1000, 500],
        LineTaxes("1", False, (tax(61), tax(7, "city", "0.75"))),
        LineTaxes("2", False, (tax(29), tax(0, "books", "0", treatment="zero"))),
    )

    assert [(each.name, each.base, each.amount, each.parts) for each in made.taxes] == [
        ("state", 1500, 90, (61, 29)),
        ("city", 1000, 7, (7, 0)),
        ("books", 500, 0, (0, 0)),
    ]
    assert (made.net, made.tax, made.total) == (1500, 97, 1597)


def test_what_a_price_contains_is_taken_off_its_net() -> None:
    made = invoice([11900, 0, 500], LineTaxes("1", True, (tax(1900, rate="19"),)),
                   LineTaxes("3", False, (tax(95, rate="19"),)))  # fmt: skip

    assert [(line.net, line.tax) for line in made.lines] == [(10000, 1900), (0, 0), (500, 95)]
    assert [each.included for each in made.taxes] == [True, False]


@pytest.mark.parametrize(
    "amounts",
    [((0, -1),), ((2, 5),), ((1, 5), (0, 5)), ((0, 5), (0, 5))],
    ids=["below zero", "of no line", "out of order", "twice"],
)
def test_amounts_that_are_not_those_of_lines_are_refused(
    amounts: tuple[tuple[int, int], ...],
) -> None:
    bad = Tax("VAT", Fraction(19), "DE", amounts=amounts)

    with pytest.raises(FactsError):
        draft(facts(charge(100), charge(100, item="seats"), taxes=(bad,)))


def test_a_line_contains_no_more_than_it_comes_to() -> None:
    with pytest.raises(FactsError):
        draft(facts(charge(100), taxes=(Tax("VAT", Fraction(19), "DE", included=True,
                                            amounts=((0, 101),)),)))  # fmt: skip


@st.composite
def invoices(chosen: st.DrawFn) -> InvoiceDraft:
    """Return an invoice of up to four lines with taxes of up to four places, in or on the price."""
    prices = chosen(st.lists(st.integers(1, 100_000), min_size=1, max_size=4))
    lines = []
    for n, price in enumerate(prices, start=1):
        included = chosen(st.booleans())
        most = price // len(PLACES) if included else price
        amounts = chosen(st.lists(st.integers(0, most), min_size=1, max_size=len(PLACES)))
        named = zip(PLACES, amounts, strict=False)
        taxes = tuple(tax(amount, name) for name, amount in named)
        lines.append(LineTaxes(str(n), included, taxes))
    return invoice(prices, *lines)


@given(invoices(), st.data())
def test_an_invoice_sums_to_what_is_printed_and_so_do_its_notes(
    made: InvoiceDraft, data: st.DataObject
) -> None:
    assert made.tax == sum(each.amount for each in made.taxes)
    assert made.total == sum(line.net + line.tax for line in made.lines)
    first = [data.draw(st.integers(0, line.gross)) for line in made.lines]

    part = credit_note(made, [], [Return(n, gross) for n, gross in enumerate(first)])
    rest = credit_note(
        made,
        [Noted(n, gross) for n, gross in enumerate(first)],
        [Return(n) for n in range(len(first))],
    )

    assert (part.net + rest.net, part.tax + rest.tax) == (made.net, made.tax)
    for n, each in enumerate(made.taxes):
        back = [t.amount for note in (part, rest) for t in note.taxes if t.tax == n]
        assert sum(back) == each.amount
        assert all(amount >= 0 for amount in back)


@given(invoices())
def test_facts_with_amounts_are_read_back(made: InvoiceDraft) -> None:
    taxes = tuple(
        Tax(each.name, each.rate, "DE", amounts=tuple(enumerate(each.parts))) for each in made.taxes
    )
    assert tuple(tax_from_json(tax_to_json(each)) for each in taxes) == taxes
    document = facts(*(charge(9) for _ in made.lines), taxes=taxes).document()
    assert Facts.from_document(document).taxes == taxes


REQUEST = ExternalRequest(
    "main",
    "EUR",
    Buyer("DE", postal_code="10115", vat_id="DE136695976", vat_confirmed=True),
    (
        LineToTax("1", "base", "saas", "txcd_1", 1000),
        LineToTax("3", "book", "books", None, 500, included=True),
    ),
    date(2026, 1, 1),
)


def test_requests_answers_and_reversals_are_read_back() -> None:
    said = answer(
        LineTaxes("1", False, (tax(190, rate="19"),)), LineTaxes("3", True, (tax(33, rate="7"),))
    )
    back = (LineBack("1", 1000, 190),)

    assert ExternalRequest.from_document(REQUEST.document()) == REQUEST
    assert is_external(REQUEST.document())
    assert ExternalAnswer.from_document(said.document()) == said
    assert answers(said, REQUEST)
    assert not answers(answer(said.lines[0]), REQUEST)
    assert read_reversal(reversal_document("EUR", back)) == ("EUR", back)


def test_a_document_that_was_touched_is_not_read() -> None:
    with pytest.raises(ValueError, match="canonical"):
        ExternalRequest.from_document(REQUEST.document().replace('":', '": ', 1))


def test_the_decision_is_what_the_provider_answered() -> None:
    said = answer(LineTaxes("1", False, (tax(190, rate="19"),)))
    call_id = UUID(int=7)

    made = external_decision(call_id, REQUEST.document(), said)

    assert (made.provider, made.provider_ref, made.valid_until) == (
        "external",
        "calc_1",
        said.expires_at,
    )
    assert made.taxes == read_response(made.response) == taxes_of(said)
    assert external_decision(call_id, REQUEST.document(), said) == made
