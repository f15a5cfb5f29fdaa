"""What is given back of an invoice, by line: earned, still to be earned, and tax. Pure.

What goes back is split over what is left of every part of every line at once, so no part goes below
zero and no more tax goes back than was charged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from billing.rules.money import split as split_amount
from billing.rules.refunds import Parts

NO_LINE: Final = 0
"""In place of a line, where a payment has no invoice."""


@dataclass(frozen=True, slots=True)
class LineParts:
    """The parts of an amount that are of one line of an invoice; lines count from 1."""

    line: int
    parts: Parts


@dataclass(frozen=True, slots=True)
class LineSplit:
    """What goes back of each line, in minor units.

    `beyond` is more than was left of all of them (a cardholder's bank may take more): it is of no
    line, and counts as earned.
    """

    lines: tuple[LineParts, ...] = ()
    beyond: int = 0

    @property
    def parts(self) -> Parts:
        """The parts of all of it."""
        whole = total_of(self.lines)
        return Parts(whole.recognised + self.beyond, whole.deferred, whole.tax)


@dataclass(frozen=True, slots=True)
class ReturnedLine:
    """What a credit note returns of a line, in minor units."""

    line: int
    net: int
    tax: int


def total_of(lines: Iterable[LineParts]) -> Parts:
    """Return the sums of the parts of lines."""
    recognised = deferred = tax = 0
    for each in lines:
        recognised += each.parts.recognised
        deferred += each.parts.deferred
        tax += each.parts.tax
    return Parts(recognised, deferred, tax)


def split_by_line(amount: int, left: Sequence[LineParts]) -> LineSplit:
    """Split minor units by what is left of each part of each line, with the largest remainder.

    What equals all that is left takes every part whole; lines of which nothing goes back are left
    out.
    """
    beyond = max(0, amount - total_of(left).total)
    return LineSplit(_taken(left, _within(amount - beyond, left)), beyond)


def note_by_line(noted: Sequence[ReturnedLine], left: Sequence[LineParts]) -> LineSplit | None:
    """Split what a credit note returns into the parts of what is left of its lines.

    Its tax is what it says. Where a refund took some of a line already, and less is left of it than
    the note returns, the rest is taken of all lines. None where more is returned than is left of
    the net or of the tax of all.
    """
    rest = {each.line: each.parts for each in left}
    taken = {line: Parts() for line in rest}
    net = tax = 0
    for each in noted:
        own = rest[each.line]
        of_net = min(each.net, own.recognised + own.deferred)
        of_tax = min(each.tax, own.tax)
        _take(rest, taken, each.line, of_net, of_tax)
        net, tax = net + each.net - of_net, tax + each.tax - of_tax
    whole = total_of(LineParts(line, parts) for line, parts in rest.items())
    if net > whole.recognised + whole.deferred or tax > whole.tax:
        return None
    nets = _shares(net, [parts.recognised + parts.deferred for parts in rest.values()])
    taxes = _shares(tax, [parts.tax for parts in rest.values()])
    for line, of_net, of_tax in zip(tuple(rest), nets, taxes, strict=True):
        _take(rest, taken, line, of_net, of_tax)
    return LineSplit(tuple(LineParts(line, parts) for line, parts in taken.items() if parts.total))


def _take(rest: dict[int, Parts], taken: dict[int, Parts], line: int, net: int, tax: int) -> None:
    """Move a net and a tax of a line from what is left to what is taken."""
    left, so_far = rest[line], taken[line]
    recognised, deferred = _shares(net, [left.recognised, left.deferred])
    rest[line] = Parts(left.recognised - recognised, left.deferred - deferred, left.tax - tax)
    taken[line] = Parts(
        so_far.recognised + recognised, so_far.deferred + deferred, so_far.tax + tax
    )


def _within(amount: int, left: Sequence[LineParts]) -> list[int]:
    weights = [
        weight
        for each in left
        for weight in (each.parts.recognised, each.parts.deferred, each.parts.tax)
    ]
    return _shares(amount, weights)


def _taken(left: Sequence[LineParts], shares: Sequence[int]) -> tuple[LineParts, ...]:
    found = (
        LineParts(each.line, Parts(*shares[3 * index : 3 * index + 3]))
        for index, each in enumerate(left)
    )
    return tuple(each for each in found if each.parts.total)


def _shares(amount: int, weights: Sequence[int]) -> list[int]:
    return split_amount(amount, weights) if amount else [0] * len(weights)
