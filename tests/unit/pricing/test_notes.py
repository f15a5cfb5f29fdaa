"""Credit notes: at the discount and the taxes of the line, and never more than is left of it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import (
    BadReturn,
    Facts,
    InvoiceDraft,
    Noted,
    NoteDraft,
    Return,
    Tax,
    credit_note,
    draft,
)
from tests.unit.pricing.values import amount_off, charge, facts, percent_off

STEPS = {"KWD": 10, "USD": 1}
VAT = Tax("VAT", Fraction(19), "DE")
INVOICE = draft(
    facts(
        charge(1000, item="base"),
        charge(3000, item="seats"),
        discounts=(percent_off(10, ["seats"]),),
        taxes=(VAT,),
    )
)


def test_a_line_is_returned_with_its_discount_and_its_tax() -> None:
    note = credit_note(INVOICE, (), [Return(1)])

    line = note.lines[0]
    assert (line.line, line.gross, line.discount, line.net, line.tax) == (1, 3000, 300, 2700, 513)
    assert (note.net, note.tax, note.total, note.discount) == (2700, 513, 3213, 300)
    assert [(each.tax, each.base, each.amount) for each in note.taxes] == [(0, 2700, 513)]


def test_a_part_of_a_line_has_its_part_of_them() -> None:
    line = credit_note(INVOICE, (), [Return(1, 500)]).lines[0]

    assert (line.gross, line.discount, line.net, line.tax) == (500, 50, 450, 86)


def test_the_rest_is_what_notes_before_left() -> None:
    note = credit_note(INVOICE, [Noted(1, 500), Noted(1, 700)], [Return(0), Return(1)])

    assert [(line.line, line.gross) for line in note.lines] == [(0, 1000), (1, 1800)]


def test_a_line_of_which_nothing_is_left_is_left_out() -> None:
    note = credit_note(INVOICE, [Noted(0, 1000)], [Return(0)])

    assert (note.lines, note.taxes, note.total) == ((), (), 0)


def test_two_returns_of_a_line_are_one() -> None:
    note = credit_note(INVOICE, (), [Return(0, 300), Return(0, 200)])

    assert [(line.line, line.gross) for line in note.lines] == [(0, 500)]


@pytest.mark.parametrize(
    ("noted", "returns"),
    [
        ([], [Return(0, 1001)]),
        ([Noted(0, 600)], [Return(0, 401)]),
        ([], [Return(0, 600), Return(0, 401)]),
        ([], [Return(0, -1)]),
    ],
)
def test_more_than_is_left_is_refused(noted: list[Noted], returns: list[Return]) -> None:
    with pytest.raises(BadReturn, match="is left"):
        credit_note(INVOICE, noted, returns)


def test_notes_of_an_exempt_line_say_so() -> None:
    exempt = draft(facts(charge(1000), taxes=(Tax("VAT", Fraction(0), "DE", "exempt"),)))

    note = credit_note(exempt, (), [Return(0, 400)])

    assert [(each.base, each.amount) for each in note.taxes] == [(400, 0)]


def test_a_line_that_was_given_away_is_returned_for_nothing() -> None:
    given_away = draft(facts(charge(1000), discounts=(percent_off(100),), taxes=(VAT,)))

    note = credit_note(given_away, (), [Return(0, 400)])

    assert (note.lines[0].discount, note.total) == (400, 0)


def test_tax_in_the_price_goes_back_with_it() -> None:
    contained = draft(facts(charge(1190), taxes=(Tax("VAT", Fraction(19), "DE", included=True),)))

    note = credit_note(contained, (), [Return(0, 595)])

    assert (note.net, note.tax, note.total) == (500, 95, 595)


def test_several_taxes_in_the_price_go_back_with_it() -> None:
    contained = tuple(
        Tax(name, Fraction(rate), "XX", included=True) for name, rate in (("A", 10), ("B", 15))
    )
    invoice = draft(facts(charge(1250), taxes=contained))
    nothing: list[Noted] = []

    half, rest = (credit_note(invoice, n, [Return(0, 625)]) for n in (nothing, [Noted(0, 625)]))

    assert [(note.net, [each.amount for each in note.taxes]) for note in (half, rest)] == [
        (500, [50, 75]), (500, [50, 75]),
    ]  # fmt: skip
    assert half.currency == "USD"


def test_amounts_beside_the_steps_are_returned_to_the_last_unit() -> None:
    made = facts(charge(10), currency="KWD", step=10, discounts=(amount_off(5),))
    invoice = draft(made)

    parts = [credit_note(invoice, [Noted(0, n)] if n else [], [Return(0, 1)]) for n in range(10)]

    assert [part.net for part in parts] == [0, 1] * 5


def test_a_part_that_can_not_be_charged_is_not_returned() -> None:
    invoice = draft(facts(charge(30), currency="KWD", step=10))

    with pytest.raises(BadReturn, match="in steps of 10"):
        credit_note(invoice, (), [Return(0, 15)])


def test_notes_keep_the_steps_that_can_be_charged() -> None:
    made = facts(charge(1230), currency="KWD", step=10, taxes=(VAT,))

    note = credit_note(draft(made), (), [Return(0, 410)])

    assert (note.net, note.tax) == (410, 80)


invoices = st.builds(
    lambda amounts, currency, off, taxes: facts(
        *(charge(amount * STEPS[currency], item=f"i{n}") for n, amount in enumerate(amounts)),
        currency=currency,
        step=STEPS[currency],
        discounts=off,
        taxes=taxes,
    ),
    st.lists(st.integers(0, 400), min_size=1, max_size=4),
    st.sampled_from(sorted(STEPS)),
    st.sampled_from([(), (percent_off("33.3"),), (amount_off(777),), (percent_off(100),)]),
    st.lists(
        st.builds(
            Tax,
            name=st.sampled_from(["VAT", "GST", "PST"]),
            rate=st.sampled_from([Fraction(0), Fraction(19), Fraction("8.875"), Fraction(50)]),
            jurisdiction=st.just("XX"),
            included=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
)


def all_notes(invoice: InvoiceDraft, steps: st.DataObject) -> list[NoteDraft]:
    """Return notes of parts that were drawn, until all of the invoice is returned."""
    noted: list[Noted] = []
    made = []
    for _ in range(steps.draw(st.integers(0, 6))):
        line = steps.draw(st.integers(0, len(invoice.lines) - 1))
        left = invoice.lines[line].gross - sum(n.gross for n in noted if n.line == line)
        part = steps.draw(st.integers(0, left)) // STEPS[invoice.currency] * STEPS[invoice.currency]
        made.append(credit_note(invoice, noted, [Return(line, part)]))
        noted.append(Noted(line, part))
    made.append(credit_note(invoice, noted, [Return(n) for n in range(len(invoice.lines))]))
    return made


@given(invoices, st.data())
def test_notes_of_all_of_an_invoice_come_to_the_invoice(made: Facts, data: st.DataObject) -> None:
    invoice = draft(made)

    notes = all_notes(invoice, data)

    assert sum(note.net for note in notes) == invoice.net
    assert sum(note.tax for note in notes) == invoice.tax
    assert sum(note.discount for note in notes) == invoice.discount
    for place, tax in enumerate(invoice.taxes):
        mine = [each for note in notes for each in note.taxes if each.tax == place]
        assert sum(each.amount for each in mine) == tax.amount
        assert sum(each.base for each in mine) == tax.base


@given(invoices, st.data())
def test_no_note_has_anything_below_zero(made: Facts, data: st.DataObject) -> None:
    for note in all_notes(draft(made), data):
        for line in note.lines:
            assert min(line.gross, line.discount, line.net, line.tax, *line.taxes, 0) == 0
            assert line.tax == sum(line.taxes)
        assert note.total == note.net + note.tax


@given(invoices, st.data())
def test_notes_of_a_line_never_come_to_more_than_it(made: Facts, data: st.DataObject) -> None:
    invoice = draft(made)
    net, tax = [0] * len(invoice.lines), [0] * len(invoice.lines)
    for note in all_notes(invoice, data):
        for line in note.lines:
            net[line.line] += line.net
            tax[line.line] += line.tax
            assert net[line.line] <= invoice.lines[line.line].net
            assert tax[line.line] <= invoice.lines[line.line].tax
