"""The figures of the example in docs/credit-notes.md follow from the functions that notes use."""

import re
from collections.abc import Iterable, Sequence
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
from billing.rules.line_parts import LineParts, ReturnedLine, note_by_line, total_of
from billing.rules.refunds import Parts
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
FIRST = credit_note(INVOICE, (), [Return(1, 3000)])
REST = credit_note(INVOICE, [Noted(1, 3000)], [Return(0), Return(1)])


def written(amounts: Iterable[int]) -> str:
    return " | ".join(f"{amount // 100}.{amount % 100:02}" for amount in amounts)


def line(number: object, of: DraftLine | NoteLine) -> str:
    return f"| {number} | {written((of.gross, of.discount, of.net, of.tax, of.net + of.tax))} |"


def of_note(name: str, note: NoteDraft) -> list[str]:
    return [line(f"{name}, line {each.line + 1}", each) for each in note.lines]


def parts(name: str, note: NoteDraft, left: Sequence[LineParts]) -> tuple[str, Sequence[LineParts]]:
    noted = [ReturnedLine(each.line + 1, each.net, each.tax) for each in note.lines]
    taken = note_by_line(noted, left)
    assert taken is not None
    found, by_line = taken.parts, {each.line: each.parts for each in taken.lines}
    shown = (found.recognised, found.deferred, found.tax, note.total)
    rest = [LineParts(each.line, less(each.parts, by_line.get(each.line))) for each in left]
    return f"| {name} | {written(shown)} |", rest


def less(left: Parts, taken: Parts | None) -> Parts:
    of = taken or Parts()
    return Parts(left.recognised - of.recognised, left.deferred - of.deferred, left.tax - of.tax)


def test_the_figures_of_the_example_are_what_notes_come_to() -> None:
    # 15 of the 30 days are over.
    lines = [line(f"invoice, line {n}", each) for n, each in enumerate(INVOICE.lines, start=1)]
    whole = [
        LineParts(number, Parts(each.net // 2, each.net - each.net // 2, each.tax))
        for number, each in enumerate(INVOICE.lines, start=1)
    ]
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
    assert total_of(left) == Parts(), "all notes of an invoice come to it exactly"
