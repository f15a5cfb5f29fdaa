"""The figures of the example in docs/credit-notes.md follow from the functions that notes use."""

import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from billing.pricing import (
    DraftLine,
    Noted,
    NoteDraft,
    NoteLine,
    Return,
    Tax,
    credit_note,
    draft,
)
from billing.rules.money import Money
from billing.rules.refunds import Parts, note_parts
from tests.unit.pricing.values import charge, facts, percent_off, unit_price

PAGE = (Path(__file__).parents[2] / "docs" / "credit-notes.md").read_text()
EXAMPLE = PAGE.split("## An example", 1)[1].split("\n## ", 1)[0]

INVOICE = draft(
    facts(
        charge(9900, item="base"),
        charge(unit_price(1200), 30, item="seats"),
        discounts=(percent_off(10),),
        taxes=(Tax("VAT", Fraction(19), "DE"),),
    )
)
# 15 of the 30 days are over.
EARNED = INVOICE.net // 2
FIRST = credit_note(INVOICE, (), [Return(1, 3000)])
REST = credit_note(INVOICE, [Noted(1, 3000)], [Return(0), Return(1)])


def written(amounts: Iterable[int]) -> str:
    return " | ".join(f"{amount // 100}.{amount % 100:02}" for amount in amounts)


def line(number: object, of: DraftLine | NoteLine) -> str:
    return f"| {number} | {written((of.gross, of.discount, of.net, of.tax, of.net + of.tax))} |"


def of_note(name: str, note: NoteDraft) -> list[str]:
    return [line(f"{name}, line {each.line + 1}", each) for each in note.lines]


def parts(name: str, note: NoteDraft, left: Parts) -> tuple[str, Parts]:
    found = note_parts(Money(note.net, "EUR"), Money(note.tax, "EUR"), left)
    assert found is not None
    shown = (found.recognised, found.deferred, found.tax, note.total)
    rest = Parts(
        left.recognised - found.recognised, left.deferred - found.deferred, left.tax - found.tax
    )
    return f"| {name} | {written(shown)} |", rest


def test_the_figures_of_the_example_are_what_notes_come_to() -> None:
    lines = [line(f"invoice, line {n}", each) for n, each in enumerate(INVOICE.lines, start=1)]
    whole = Parts(EARNED, INVOICE.net - EARNED, INVOICE.tax)
    first, left = parts("first note", FIRST, whole)
    rest, left = parts("second note", REST, left)

    expected = [
        *lines,
        *of_note("first note", FIRST),
        *of_note("second note", REST),
        first,
        rest,
    ]
    assert re.findall(r"^\|.*\d\.\d\d.*\|$", EXAMPLE, re.MULTILINE) == expected
    assert left == Parts(), "all notes of an invoice come to it exactly"
