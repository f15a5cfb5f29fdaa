"""A credit note: what it returns of an invoice's lines, with their discount and taxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import sub

from billing.plans.currencies import charge_step
from billing.pricing.drafts import InvoiceDraft, NoteDraft, NoteLine, NoteTax
from billing.rules.money import half_up


class BadReturn(ValueError):
    """More is to be returned of a line than is left of it, or a part that can't be charged.

    `line` is its index; `wanted`, `left` and the `step` of what can be returned are minor units,
    None where the invoice has no such line.
    """

    def __init__(
        self, line: int, wanted: int, left: int | None = None, step: int | None = None
    ) -> None:
        self.line, self.wanted, self.left, self.step = line, wanted, left, step
        told = "there is none" if left is None else f"{left} is left, in steps of {step}"
        super().__init__(f"{wanted} of the line at index {line} can't be returned: {told}")


@dataclass(frozen=True, slots=True)
class Noted:
    """What a credit note returned of the line at an index before; `gross` is in minor units."""

    line: int
    gross: int


@dataclass(frozen=True, slots=True)
class Return:
    """What is to be returned of the line at an index: `gross` minor units, or None for the rest.

    It is counted as the line's `gross` is: before its discount, with the taxes that its price
    contains.
    """

    line: int
    gross: int | None = None


def credit_note(
    invoice: InvoiceDraft, noted: Sequence[Noted], returns: Sequence[Return]
) -> NoteDraft:
    """Return the note that takes back parts of lines at the discount and taxes they had.

    Each part is what the notes of a line return together, rounded half up, less what was returned
    before: so all notes of a line never come to more than the line, and the last one to the rest.
    Lines of which nothing is returned are left out. Raises: BadReturn.
    """
    before = [0] * len(invoice.lines)
    for each in noted:
        _add(invoice, before, each.line, each.gross, in_steps=False)
    after = list(before)
    for wanted in returns:
        _add(invoice, after, wanted.line, wanted.gross, in_steps=True)
    lines = [
        _difference(_returned(invoice, index, after[index]), _returned(invoice, index, start))
        for index, start in enumerate(before)
        if after[index] > start
    ]
    return _note(invoice, lines)


def _add(
    invoice: InvoiceDraft, returned: list[int], line: int, gross: int | None, *, in_steps: bool
) -> None:
    """Add what is returned of a line, or with None all the rest. Raises: BadReturn."""
    if not 0 <= line < len(invoice.lines):
        raise BadReturn(line, gross or 0)
    left = invoice.lines[line].gross - returned[line]
    gross = left if gross is None else gross
    step = _step(invoice, line) if in_steps else 1
    if not 0 <= gross <= left or gross % step:
        raise BadReturn(line, gross, left, step)
    returned[line] += gross


def _returned(invoice: InvoiceDraft, index: int, gross: int) -> NoteLine:
    """Return what all notes of a line have returned once they come to `gross`.

    What is left of it goes from one to the next: discount, taxes in the price, net; so none of
    these ever falls when `gross` rises.
    """
    line = invoice.lines[index]
    parts = [tax.parts[index] for tax in invoice.taxes]
    step = _step(invoice, index)
    discount = _share(line.discount, gross, line.gross, step)
    rest, whole = gross - discount, line.gross - line.discount
    taxes = [0] * len(parts)
    for place, tax in enumerate(invoice.taxes):
        if tax.included:
            taxes[place] = _share(parts[place], rest, whole, step)
            rest, whole = rest - taxes[place], whole - parts[place]
    for place, tax in enumerate(invoice.taxes):
        if not tax.included:
            taxes[place] = _share(parts[place], rest, whole, step)
    return NoteLine(index, gross, discount, rest, sum(taxes), tuple(taxes))


def _step(invoice: InvoiceDraft, index: int) -> int:
    """Return the step that all amounts of a line keep: what can be charged, or one minor unit."""
    line, step = invoice.lines[index], charge_step(invoice.currency)
    parts = (tax.parts[index] for tax in invoice.taxes)
    return 1 if any(each % step for each in (line.gross, line.discount, *parts)) else step


def _share(amount: int, part: int, whole: int, step: int) -> int:
    return amount if part == whole else half_up(amount * part, whole, step)


def _difference(after: NoteLine, before: NoteLine) -> NoteLine:
    return NoteLine(
        line=after.line,
        gross=after.gross - before.gross,
        discount=after.discount - before.discount,
        net=after.net - before.net,
        tax=after.tax - before.tax,
        taxes=tuple(map(sub, after.taxes, before.taxes)),
    )


def _note(invoice: InvoiceDraft, lines: Sequence[NoteLine]) -> NoteDraft:
    net, tax = sum(line.net for line in lines), sum(line.tax for line in lines)
    return NoteDraft(
        currency=invoice.currency,
        lines=tuple(lines),
        taxes=tuple(
            NoteTax(
                tax=index,
                base=sum(line.net for line in lines if line.line in levied.lines),
                amount=sum(line.taxes[index] for line in lines),
            )
            for index, levied in enumerate(invoice.taxes)
            if any(line.line in levied.lines for line in lines)
        ),
        discount=sum(line.discount for line in lines),
        net=net,
        tax=tax,
        total=net + tax,
    )
