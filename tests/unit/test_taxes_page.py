"""The figures of the examples in docs/taxes.md follow from the functions that invoices use."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from billing.plans.taxes import RateTreatment, TaxRate
from billing.pricing import (
    Charge,
    InvoiceDraft,
    Noted,
    NoteDraft,
    Return,
    TaxRounding,
    credit_note,
    draft,
)
from billing.tax import Buyer, Seller, TaxedItem, decide, request_at
from billing.tax.external import ExternalAnswer, LineTax, LineTaxes, taxes_of
from tests.unit.pricing.values import charge, facts

PAGE = (Path(__file__).parents[2] / "docs" / "taxes.md").read_text()
EXAMPLES = PAGE.split("## Examples", 1)[1].split("\n## ", 1)[0]
SINCE = date(2020, 1, 1)
RATES = (
    TaxRate("DE", "saas", "USt", Fraction(19), SINCE),
    TaxRate("DE", "books", "USt", Fraction(7), SINCE, treatment=RateTreatment.REDUCED),
    TaxRate("FR", "saas", "TVA", Fraction(20), SINCE),
)


def invoice(
    charges: Sequence[Charge],
    buyer: Buyer,
    *,
    included: bool = False,
    books: Sequence[str] = (),
    rounding: TaxRounding = TaxRounding.GROUP,
) -> InvoiceDraft:
    items = [
        TaxedItem(each.item, "books" if each.item in books else "saas", included)
        for each in charges
    ]
    taxes = decide(request_at("table", Seller("DE"), buyer, items, date(2026, 1, 1), RATES))
    return draft(facts(*charges, taxes=taxes, tax_rounding=rounding))


def row(name: str, net: int, tax: int) -> str:
    shown = " | ".join(f"{each // 100}.{each % 100:02}" for each in (net, tax, net + tax))
    return f"| {name} | {shown} |"


TWO = (charge(10000, item="base"), charge(999, item="seats"))
GROSS = (charge(10000, item="base"), charge(1000, item="book"))
# TX-039: lago-api PR #2643, four charges at 20 %.
FOUR = tuple(
    charge(each, item=f"line-{each}-{n}") for n, each in enumerate((6833, 6833, 5750, 8500))
)
ON_TOP = invoice(TWO, Buyer("DE"))
CONTAINED = invoice(GROSS, Buyer("DE"), included=True, books=["book"])
REVERSED = invoice(TWO, Buyer("IT", vat_id="IT00743110157"))
BY_GROUP = invoice(FOUR, Buyer("FR"))
BY_LINE = invoice(FOUR, Buyer("FR"), rounding=TaxRounding.LINE)

# What a provider that rounds each tax of a line computes for 99.37.
RATED = {"state, 6": 596, "county, 0.25": 25, "city, 0.75": 75, "district, 2.25": 224}
FOUR_PLACES = draft(
    facts(
        charge(9937),
        taxes=taxes_of(
            ExternalAnswer(
                "calculation",
                None,
                (
                    LineTaxes(
                        "1",
                        included=False,
                        taxes=tuple(
                            LineTax(
                                name.partition(",")[0],
                                "US-CA",
                                "standard",
                                Fraction(name.rpartition(" ")[2]),
                                "",
                                9937,
                                amount,
                            )
                            for name, amount in RATED.items()
                        ),
                    ),
                ),
            )
        ),
    )
)
SOME = credit_note(FOUR_PLACES, [], [Return(0, 3333)])
REST = credit_note(FOUR_PLACES, [Noted(0, 3333)], [Return(0)])


def notes_of_each_line() -> list[NoteDraft]:
    made = []
    for line in range(len(BY_GROUP.lines)):
        noted = [Noted(earlier, BY_GROUP.lines[earlier].gross) for earlier in range(line)]
        made.append(credit_note(BY_GROUP, noted, [Return(line)]))
    return made


ROWS = {
    "on top": row("on top", ON_TOP.net, ON_TOP.tax),
    "19 %": row("in the price, 19 %", CONTAINED.lines[0].net, CONTAINED.lines[0].tax),
    "7 %": row("in the price, 7 %", CONTAINED.lines[1].net, CONTAINED.lines[1].tax),
    "both": row("both", CONTAINED.net, CONTAINED.tax),
    "reverse charge": row("reverse charge", REVERSED.net, REVERSED.tax),
    "TX-039, by group": row("rounded by group", BY_GROUP.net, BY_GROUP.tax),
    "TX-039, by line": row("rounded by line", BY_LINE.net, BY_LINE.tax),
    "CN-004, CN-005: notes": row(
        "four credit notes, one of each line",
        sum(note.net for note in notes_of_each_line()),
        sum(note.tax for note in notes_of_each_line()),
    ),
    **{
        name: row(f"{name} %", tax.base, tax.amount)
        for name, tax in zip(RATED, FOUR_PLACES.taxes, strict=True)
    },
    "four places": row("all four", FOUR_PLACES.net, FOUR_PLACES.tax),
    "a note of some": row("a note of 33.33 of it", SOME.net, SOME.tax),
    "a note of the rest": row("a note of the rest", REST.net, REST.tax),
}


@pytest.mark.parametrize("expected", ROWS.values(), ids=ROWS)
def test_the_page_has_the_figures_that_are_computed(expected: str) -> None:
    assert expected in EXAMPLES


def test_every_figure_of_the_page_is_computed() -> None:
    rows = [line for line in EXAMPLES.splitlines() if line.startswith("| ")]
    assert {each for each in rows if not each.startswith("| invoice")} == set(ROWS.values())
