"""The draft of an invoice: what follows from its facts, by the version of the rules they name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Final

from billing.pricing.credit import applied, small_of
from billing.pricing.discounts import discounts
from billing.pricing.drafts import DraftDiscount, DraftLine, DraftTax, InvoiceDraft
from billing.pricing.facts import Facts, FactsError
from billing.pricing.lines import PricedLine, carried_line, lines_of
from billing.pricing.taxes import taxes
from billing.rules.money import Money


def draft(facts: Facts) -> InvoiceDraft:
    """Return the invoice that follows from facts, by their rules.

    Raises: FactsError; AmountOutOfRange (of money).
    """
    by_rules = _RULES.get(facts.rules)
    if by_rules is None:
        raise FactsError(f"this release has no rules {facts.rules}: a newer one wrote the facts")
    if facts.step < 1 or facts.minimum < 0:
        raise FactsError(f"{facts.step} is no step, or {facts.minimum} no least amount")
    return by_rules(facts)


def _draft_1(facts: Facts) -> InvoiceDraft:
    lines = _lines(facts)
    if not facts.discounts and not facts.taxes:  # most invoices, a few times as fast
        return _invoice(facts, lines, (), ())
    taken = discounts(lines, facts.discounts, facts.step)
    off = _sums((each.parts for each in taken), len(lines))
    amounts = [line.gross - off[index] for index, line in enumerate(lines)]
    items = [line.item for line in lines]
    levied = taxes(items, amounts, facts.taxes, facts.step, facts.tax_rounding)
    return _invoice(facts, lines, taken, levied)


def _lines(facts: Facts) -> list[PricedLine]:
    if facts.carried < 0:
        raise FactsError(f"{facts.carried} can't be carried over")
    lines = [
        line
        for index, charge in enumerate(facts.charges)
        for line in lines_of(charge, index, facts.zone, facts.step)
    ]
    return [*lines, carried_line(facts.carried)] if facts.carried else lines


def _invoice(
    facts: Facts,
    priced: Sequence[PricedLine],
    taken: tuple[DraftDiscount, ...],
    levied: tuple[DraftTax, ...],
) -> InvoiceDraft:
    lines = _finished(priced, taken, levied)
    net, tax = sum(line.net for line in lines), sum(line.tax for line in lines)
    total = Money(net + tax, facts.currency).amount
    credit = applied(total, facts.credit)
    rest = total - sum(each.amount for each in credit)
    small = small_of(rest, facts.minimum, facts.waives)
    return InvoiceDraft(
        currency=facts.currency,
        lines=lines,
        discounts=taken,
        taxes=levied,
        credit=credit,
        net=net,
        discount=sum(each.amount for each in taken),
        tax=tax,
        total=total,
        small=small,
        due=rest - small,
    )


def _finished(
    priced: Sequence[PricedLine], taken: Sequence[DraftDiscount], levied: Sequence[DraftTax]
) -> tuple[DraftLine, ...]:
    off = _sums((each.parts for each in taken), len(priced)) if taken else None
    contained = tax = None
    if levied:
        contained = _sums((each.parts for each in levied if each.included), len(priced))
        tax = _sums((each.parts for each in levied), len(priced))
    found = []
    for index, line in enumerate(priced):
        discount = off[index] if off else 0
        found.append(
            DraftLine(
                item=line.item,
                description=line.description,
                period=line.period,
                part=line.part,
                whole=line.whole,
                quantity=line.quantity,
                unit_price=line.unit_price,
                gross=line.gross,
                discount=discount,
                net=line.gross - discount - (contained[index] if contained else 0),
                tax=tax[index] if tax else 0,
                charge=line.charge,
                rows=line.rows,
                at_issue=line.at_issue,
            )
        )
    return tuple(found)


def _sums(rows: Iterable[Sequence[int]], length: int) -> list[int]:
    sums = [0] * length
    for row in rows:
        sums = list(map(add, sums, row))
    return sums


_RULES: Final[Mapping[int, Callable[[Facts], InvoiceDraft]]] = {1: _draft_1}
