"""Taxes: the total of a group of lines, rounded once or by line, and its split over them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Final

from billing.pricing.drafts import DraftTax
from billing.pricing.facts import FactsError, Tax, TaxRounding
from billing.rules.money import half_up, split

_ZERO: Final = Fraction(0)


@dataclass(frozen=True, slots=True)
class _Group:
    """One tax with the lines that bear it, as a flag by line."""

    tax: Tax
    bears: tuple[bool, ...]


def taxes(
    items: Sequence[str],
    amounts: Sequence[int],
    decided: Iterable[Tax],
    step: int = 1,
    rounding: TaxRounding = TaxRounding.GROUP,
) -> tuple[DraftTax, ...]:
    """Return the total of each tax, in the order of the decision.

    `amounts` are what each line comes to after discounts, `items` are the lines' items. Taxes of
    one jurisdiction, name, rate and treatment are a group. A tax that prices contain is rounded
    first, and the net is the rest; others come on top of that net. Several taxes on a line don't
    compound, and each is rounded apart, half up to `step`: its total, or its part of each line.
    Raises: FactsError.
    """
    groups = _groups(items, decided)
    contained = [_contained(groups, index) for index in range(len(amounts))]
    net, by_line = list(amounts), rounding is TaxRounding.LINE
    parts: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        if group.tax.included:
            shares = _shares_contained(group, amounts, contained)
            parts[index] = (
                [min(part, rest) for part, rest in zip(_rounded(shares, step), net, strict=True)]
                if by_line
                else _split_contained(shares, net, step)
            )
            net = [rest - part for rest, part in zip(net, parts[index], strict=True)]
    for index, group in enumerate(groups):
        if not group.tax.included:
            parts[index] = _on_top(group, net, step, by_line)
    return tuple(_draft_tax(group, net, parts[index]) for index, group in enumerate(groups))


def _groups(items: Sequence[str], decided: Iterable[Tax]) -> list[_Group]:
    found: dict[Tax, tuple[bool, ...]] = {}
    for tax in decided:
        if tax.rate < 0:
            raise FactsError(f"{tax.name} has a rate of {tax.rate}")
        bears = tuple(tax.on is None or item in tax.on for item in items)
        key = replace(tax, on=None)
        before = found.get(key, (False,) * len(items))
        found[key] = tuple(a or b for a, b in zip(before, bears, strict=True))
    return [_Group(tax, bears) for tax, bears in found.items() if any(bears)]


def _contained(groups: Iterable[_Group], index: int) -> Fraction:
    """Return the sum of the rates that a line's price contains, in percent."""
    return sum((each.tax.rate for each in groups if each.tax.included and each.bears[index]), _ZERO)


def _shares_contained(
    group: _Group, amounts: Sequence[int], contained: Sequence[Fraction]
) -> list[Fraction]:
    return [
        amount * group.tax.rate / (100 + rates) if bears else _ZERO
        for amount, rates, bears in zip(amounts, contained, group.bears, strict=True)
    ]


def _split_contained(shares: Sequence[Fraction], left: Sequence[int], step: int) -> list[int]:
    """Split the rounded sum of shares, and take from no line more than is left of it."""
    total = sum(shares, _ZERO)
    bearing = [rest if share else 0 for share, rest in zip(shares, left, strict=True)]
    amount = min(half_up(total.numerator, total.denominator, step), sum(bearing))
    if amount == 0:
        return [0] * len(shares)
    common = lcm(*(share.denominator for share in shares)) * step
    parts = split(amount, [int(share * common) for share in shares], step)
    if all(part <= rest for part, rest in zip(parts, left, strict=True)):
        return parts
    return split(amount, bearing, step)


def _on_top(group: _Group, net: Sequence[int], step: int, by_line: bool) -> list[int]:
    weights = [amount if bears else 0 for amount, bears in zip(net, group.bears, strict=True)]
    rate = group.tax.rate / 100
    if by_line:
        return _rounded([weight * rate for weight in weights], step)
    amount = half_up(sum(weights) * rate.numerator, rate.denominator, step)
    return split(amount, weights, step) if amount else [0] * len(net)


def _rounded(shares: Iterable[Fraction], step: int) -> list[int]:
    return [half_up(share.numerator, share.denominator, step) for share in shares]


def _draft_tax(group: _Group, net: Sequence[int], parts: Sequence[int]) -> DraftTax:
    return DraftTax(
        name=group.tax.name,
        jurisdiction=group.tax.jurisdiction,
        treatment=group.tax.treatment,
        rate=group.tax.rate,
        included=group.tax.included,
        reason=group.tax.reason,
        base=sum(amount for amount, bears in zip(net, group.bears, strict=True) if bears),
        amount=sum(parts),
        parts=tuple(parts),
        lines=tuple(index for index, bears in enumerate(group.bears) if bears),
    )
