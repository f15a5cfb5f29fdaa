"""A change within a period: what is charged and what is returned for the civil days left of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

from billing.plans.items import ItemPrice, PriceModel
from billing.pricing.facts import Charge
from billing.pricing.lines import bounded_price
from billing.rules.periods import Period, civil_days_between, service_days

_ZERO: Final = Fraction(0)


@dataclass(frozen=True, slots=True)
class LineLeft:
    """A line of an invoice by its index, and what credit notes left of its `gross`."""

    line: int
    left: int


@dataclass(frozen=True, slots=True)
class Charged:
    """Units of an item that were charged for the period and are still held.

    `charge` is that of the invoice, with the quantity that is held of it. `lines` are those that it
    made there: one, and perhaps one up to a minimum.
    """

    invoice: UUID
    lines: tuple[LineLeft, ...]
    charge: Charge


@dataclass(frozen=True, slots=True)
class LineReturn:
    """What a change returns of a line of an invoice: `gross` minor units, as on the line."""

    invoice: UUID
    line: int
    gross: int


@dataclass(frozen=True, slots=True)
class ChangeLines:
    """What a change costs: charges of an invoice for it, and returns for credit notes."""

    charges: tuple[Charge, ...]
    returns: tuple[LineReturn, ...]


@dataclass(frozen=True, slots=True)
class _SoldAt:
    """What two charges have in common when they are of one item at the same terms."""

    item: str
    price: ItemPrice
    source: str
    terms: str
    once: bool


def share_left(period: Period, at: datetime, zone: str) -> tuple[int, int]:
    """Return how many civil days of a period are left at an instant, and how many it has.

    The day of the instant is left, whatever the hour; at the period's end nothing is.
    Raises: ValueError, for an instant outside.
    """
    if not period.start <= at <= period.end:
        raise ValueError(f"{at} is not in the period from {period.start} to {period.end}")
    whole = civil_days_between(period.start, period.end, zone)
    return (civil_days_between(at, period.end, zone), whole) if whole else (0, 1)


def lines_of_change(
    before: Sequence[Charged],
    after: Sequence[Charge],
    period: Period,
    at: datetime,
    zone: str,
    *,
    step: int = 1,
) -> ChangeLines:
    """Return what a change at an instant of a period charges, and what it returns.

    `before` is what was charged for the period in advance, `after` what is held from then on, as it
    would be charged for the whole period. An item at the same terms is charged, or returned, only
    for the units that came or went, the last ones first; under a volume price all its units
    are returned and charged anew. Other terms are another item. Amounts depend on the civil
    day alone and are differences of rounded prices, so several changes on a day come to what
    one change would. What was returned before isn't returned again. A once-item is charged whole
    and never returned; a metered one has no lines. At the period's end nothing has.
    """
    share = share_left(period, at, zone)
    if at == period.end:
        return ChangeLines((), ())
    held, wanted = _by_terms(before), _wanted(after)
    rest = Period(at.astimezone(UTC), period.end)
    charges: list[Charge] = []
    returns: list[LineReturn] = []
    for terms in [*held, *(each for each in wanted if each not in held)]:
        pieces, charge = held.get(terms, ()), wanted.get(terms)
        have = sum((piece.charge.quantity for piece in pieces), _ZERO)
        want = charge.quantity if charge is not None else _ZERO
        kept = min(have, want)
        if terms.price.model is PriceModel.VOLUME and have != want:
            kept = _ZERO
        if terms.once:
            charges += _added(charge, want, kept)
        elif share[0]:
            returns += _returned(pieces, kept, share, step)
            charges += [_for_rest(each, rest, share, zone) for each in _added(charge, want, kept)]
    return ChangeLines(tuple(charges), tuple(returns))


def still_held(pieces: Sequence[Charged], held: Sequence[Charge]) -> tuple[Charged, ...]:
    """Return what was charged for a period with the quantities that are held of it still.

    `pieces` are in the order in which they were invoiced, each with all its units; `held` is what
    is held, as it would be charged for the whole period. What was charged from a unit on was
    charged for it anew: of the pieces before, the units from there on had been returned.
    """
    left: dict[_SoldAt, tuple[Charged, ...]] = {}
    for piece in pieces:
        terms = _terms(piece.charge)
        left[terms] = (*_up_to(left.get(terms, ()), piece.charge.before), piece)
    quantities = {_terms(charge): charge.quantity for charge in held}
    return tuple(
        piece
        for terms, charged in left.items()
        for piece in _up_to(charged, quantities.get(terms, _ZERO))
    )


def _up_to(pieces: Sequence[Charged], most: Fraction) -> tuple[Charged, ...]:
    """Return pieces without the units above a quantity."""
    return tuple(
        replace(piece, charge=replace(piece.charge, quantity=min(end, most) - first))
        for piece in pieces
        for first, end in [(piece.charge.before, piece.charge.before + piece.charge.quantity)]
        if first < min(end, most)
    )


def _by_terms(before: Sequence[Charged]) -> Mapping[_SoldAt, tuple[Charged, ...]]:
    found: dict[_SoldAt, tuple[Charged, ...]] = {}
    for piece in before:
        if not piece.charge.metered:
            terms = _terms(piece.charge)
            found[terms] = (*found.get(terms, ()), piece)
    return found


def _wanted(after: Sequence[Charge]) -> Mapping[_SoldAt, Charge]:
    found: dict[_SoldAt, Charge] = {}
    for charge in after:
        terms = _terms(charge)
        if terms in found:
            raise ValueError(f"{charge.item} is held twice at the same terms")
        if not charge.metered:
            found[terms] = charge
    return found


def _terms(charge: Charge) -> _SoldAt:
    return _SoldAt(charge.item, charge.price, charge.source, charge.terms, charge.once)


def _added(charge: Charge | None, want: Fraction, kept: Fraction) -> list[Charge]:
    """Return the charge of what is wanted above the quantity kept."""
    if charge is None or want <= kept:
        return []
    return [replace(charge, quantity=want - kept, before=kept)]


def _returned(
    pieces: Sequence[Charged], kept: Fraction, share: tuple[int, int], step: int
) -> list[LineReturn]:
    """Return what is above the quantity kept, from the units that were charged last."""
    found = []
    for piece in sorted(pieces, key=lambda each: each.charge.before, reverse=True):
        first, end = piece.charge.before, piece.charge.before + piece.charge.quantity
        if end > kept:
            charge = _with_share(piece.charge, share)
            gross = bounded_price(charge, end, step)
            if max(first, kept):
                gross -= bounded_price(charge, max(first, kept), step)
            found += _from_lines(piece, gross)
    return found


def _from_lines(piece: Charged, gross: int) -> list[LineReturn]:
    found = []
    for line in piece.lines:
        amount = min(gross, line.left)
        if amount > 0:
            found.append(LineReturn(piece.invoice, line.line, amount))
            gross -= amount
    return found


def _for_rest(charge: Charge, rest: Period, share: tuple[int, int], zone: str) -> Charge:
    days = None if charge.days is None else service_days(rest, zone)
    return replace(_with_share(charge, share), period=rest, days=days)


def _with_share(charge: Charge, share: tuple[int, int]) -> Charge:
    """Return a charge for the days left: of a stub, they are days of the whole period it is of."""
    left, days = share
    if charge.part == charge.whole:
        return replace(charge, part=left, whole=days)
    return replace(charge, part=min(left, charge.part), whole=charge.whole)
