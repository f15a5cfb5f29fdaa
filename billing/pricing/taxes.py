"""Taxes: the total of a group of lines, rounded once or by line, and its split over them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from operator import le

from billing.pricing.drafts import DraftTax
from billing.pricing.facts import FactsError, Tax
from billing.pricing.kinds import TaxRounding
from billing.rules.money import half_up, split


@dataclass(frozen=True, slots=True)
class _Group:
    """One tax, and the indexes of the lines that bear it.

    `decided` are the parts of these lines, where a provider computed them.
    """

    tax: Tax
    lines: tuple[int, ...]

    @property
    def decided(self) -> list[int] | None:
        return None if self.tax.amounts is None else [part for _, part in self.tax.amounts]


def taxes(
    items: Sequence[str],
    amounts: Sequence[int],
    decided: Iterable[Tax],
    step: int,
    rounding: TaxRounding,
) -> tuple[DraftTax, ...]:
    """Return the total of each tax, in the order of the decision.

    `amounts` are what each line comes to after discounts, `items` are the lines' items. Taxes of
    one jurisdiction, name, rate, treatment and reason are a group. A tax that prices contain is
    rounded first, and the net is the rest; others come on top of that net. Several taxes on a line
    don't compound, and each is rounded apart, half up to `step`: its total, or its part of each
    line. What a provider computed is taken as it is. Raises: FactsError.
    """
    groups = _groups(items, decided)
    net, by_line = list(amounts), rounding is TaxRounding.LINE
    parts: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        if group.tax.included:
            left = [net[line] for line in group.lines]
            parts[number] = _within(group, left) or _contained(
                [_share_contained(groups, group, amounts, line) for line in group.lines],
                left,
                step,
                by_line,
            )
            for place, line in enumerate(group.lines):
                net[line] -= parts[number][place]
    for number, group in enumerate(groups):
        if not group.tax.included:
            parts[number] = group.decided or _on_top(
                group, [net[line] for line in group.lines], step, by_line
            )
    return tuple(_draft_tax(group, net, parts[number]) for number, group in enumerate(groups))


def _groups(items: Sequence[str], decided: Iterable[Tax]) -> list[_Group]:
    found: dict[Tax, set[int]] = {}
    for tax in decided:
        if tax.rate < 0:
            raise FactsError(f"{tax.name} has a rate of {tax.rate}")
        bearing = _bearing(items, tax)
        found.setdefault(replace(tax, on=None), set()).update(bearing)
    return [_Group(tax, tuple(sorted(lines))) for tax, lines in found.items() if lines]


def _bearing(items: Sequence[str], tax: Tax) -> set[int]:
    """Return the indexes of the lines that bear a tax. Raises: FactsError."""
    if tax.amounts is None:
        return {index for index, item in enumerate(items) if tax.on is None or item in tax.on}
    lines = [line for line, _ in tax.amounts]
    right = lines == sorted(set(lines)) and all(0 <= line < len(items) for line in lines)
    if not right or any(part < 0 for _, part in tax.amounts):
        raise FactsError(f"the amounts of {tax.name} aren't those of lines")
    return set(lines)


def _within(group: _Group, left: Sequence[int]) -> list[int] | None:
    """Return the parts that a provider computed of prices, None where it didn't."""
    if group.decided is not None and not all(map(le, group.decided, left)):
        raise FactsError(f"a line contains more of {group.tax.name} than it comes to")
    return group.decided


def _share_contained(
    groups: Iterable[_Group], group: _Group, amounts: Sequence[int], line: int
) -> Fraction:
    """Return the exact part that a tax has of the price of a line, which may contain others."""
    rates = sum(each.tax.rate for each in groups if each.tax.included and line in each.lines)
    return amounts[line] * group.tax.rate / (100 + rates)


def _contained(
    shares: Sequence[Fraction], left: Sequence[int], step: int, by_line: bool
) -> list[int]:
    """Return shares rounded, each or their sum; from no line more than is left of it."""
    if by_line:
        return list(map(min, _rounded(shares, step), left))
    amount = min(*_rounded([sum(shares, Fraction(0))], step), sum(left))
    if amount == 0:
        return [0] * len(left)
    common = lcm(*(share.denominator for share in shares)) * step
    parts = split(amount, [int(share * common) for share in shares], step)
    return parts if all(map(le, parts, left)) else split(amount, left, step)


def _on_top(group: _Group, net: Sequence[int], step: int, by_line: bool) -> list[int]:
    rate = group.tax.rate / 100
    if by_line:
        return _rounded([amount * rate for amount in net], step)
    total = _rounded([sum(net) * rate], step)[0]
    return split(total, net, step) if total else [0] * len(net)


def _rounded(shares: Iterable[Fraction], step: int) -> list[int]:
    return [half_up(share.numerator, share.denominator, step) for share in shares]


def _draft_tax(group: _Group, net: Sequence[int], parts: Sequence[int]) -> DraftTax:
    by_line = [0] * len(net)
    for place, line in enumerate(group.lines):
        by_line[line] = parts[place]
    return DraftTax(
        name=group.tax.name,
        jurisdiction=group.tax.jurisdiction,
        treatment=group.tax.treatment,
        rate=group.tax.rate,
        included=group.tax.included,
        reason=group.tax.reason,
        base=sum(net[line] for line in group.lines),
        amount=sum(parts),
        parts=tuple(by_line),
        lines=group.lines,
    )
