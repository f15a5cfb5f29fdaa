"""What is asked for in a story, and when: drawn from the seed before anything happens.

An event prints as it is written in Python, so that a story that fails can be shortened event by
event and printed as a test.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import ADDONS, COUPONS, PRODUCTS, SEATS, Product

Choice = TypeVar("Choice")
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)

CARDS: Final = (
    ("pm_card_visa", 14),
    ("pm_card_mastercard", 4),
    ("pm_sbx_ok_1_then_insufficient_1_then_ok", 2),
    ("pm_sbx_ok_2_then_insufficient_2_then_ok", 2),
    ("pm_sbx_decline_1_then_ok", 2),
    ("pm_sbx_ok_1_then_insufficient_funds", 2),
    ("pm_sbx_insufficient_funds", 1),
    ("pm_sbx_insufficient_funds_3_then_ok", 2),
    ("pm_sbx_ok_1_then_expired_card", 1),
    ("pm_sbx_ok_2_then_lost_card", 1),
    ("pm_card_chargeCustomerFail", 1),
    ("pm_card_refundFail", 1),
    ("pm_card_pendingRefund", 1),
)
ZONES: Final = ("UTC", "UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin")


DOWNTIMES: Final = ((1, 8), (2, 8), (9, 8), (40, 8), (400, 1), (800, 1))  # in days
MEETING: Final = 0.6  # of what is asked for
RESTORES: Final = 0.35  # of the stories
SELLING: Final = 0.4  # of the stories: nobody leaves, so that more is sold
SOLD: Final = frozenset(
    {"change", "coupon", "note", "grant", "price", "pause", "resume", "new card", "downtime"}
)
LATER: Final = "period_end"  # when a change applies
BACKUP_AGES: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))


@dataclass(frozen=True)
class Event:
    """Something is asked for at a moment; `who` counts customers, in the order they come."""

    at: datetime
    kind: str
    who: int = 0
    plan: str = ""
    currency: str = "USD"
    quantity: int = 1
    zone: str = "UTC"
    card: str = ""
    part: int = 0  # of a payment, in percent; 0 is all of it
    days: int = 0
    effective: date | None = None
    moves: bool = False
    then: str = ""
    amount: int = 0  # of credit, in minor units
    priority: int = 50
    addon: int = -1  # how many of the plan's add-on; -1 says nothing about it
    coupon: str = ""


WEIGHTS: Final = {
    "pause": 4,
    "resume": 4,
    "cancel": 3,
    "cancel at period end": 2,
    "new card": 4,
    "refund": 4,
    "dispute": 2,
    "retry": 2,
    "price": 1,
    "payout": 2,
    "downtime": 2,
    "decide": 2,
    "detach": 1,
    "charge": 3,
    "wrong clock": 1,
    "correct price": 1,
    "grant": 4,
    "coupon": 3,
    "change": 14,
    "note": 3,
}
CREDITS: Final = (40, 310, 990, 2500, 10000)
# What a shop does with a charge after it.
AFTER_A_CHARGE: Final = (
    "",
    "refund",
    "authorize, capture",
    "authorize, capture a part",
    "authorize, void",
)


# What is given back, and how; a part is of what it comes to.
DESTINATIONS: Final = ("credit", "credit", "refund", "outside")


def drawn(seed: object, *, customers: int, days: int, asks: int) -> list[Event]:
    """Draw customers who come, and what is asked for later, in order of time."""
    chance = random.Random(f"events {seed}")
    cards = CARDS if chance.random() < 0.6 else CARDS[2:11]  # all of these decline at times
    moments = [_moment(chance, days / 3) for _ in range(chance.randint(1, customers))]
    events = [_arrival(chance, who, chance.choice(moments), cards) for who in range(customers)]
    kinds = _some_kinds(chance)
    later = [_later(chance, kinds, events, days) for _ in range(asks)]
    end = BEGINNING + timedelta(days=days)
    moved = [_moved(chance, each, events, later) for each in later]
    events += [new if new.at < end else old for old, new in zip(later, moved, strict=True)]
    if chance.random() < RESTORES:
        backup, restore = _restored(chance, days)
        events = [each for each in events if not _is_sold_between(each, backup.at, restore.at)]
        events += [backup, restore]
    return sorted(events, key=lambda event: event.at)


def _moved(
    chance: random.Random, event: Event, arrivals: Sequence[Event], others: Sequence[Event]
) -> Event:
    """Move some of what is asked for to where it meets something else.

    That is the end of a downtime, before anybody has caught up, or the beginning of a period.
    """
    downtimes = [each for each in others if each.kind == "downtime"]
    soon = timedelta(minutes=chance.choice((0, 1, 4, 20, 90)))
    # Most changes are refused where a period isn't opened yet.
    draw = chance.random() * (3 if event.kind == "change" else 1)
    if event.kind in ("downtime", "price", "correct price"):
        return event
    if downtimes and draw < MEETING / 2:
        return replace(event, at=chance.choice(downtimes).at + soon)
    if draw < MEETING:
        arrival = arrivals[event.who]
        count, unit = PRODUCTS[arrival.plan].every
        step = relativedelta(**{f"{unit}s": count * chance.randint(0, 4)})  # type: ignore[arg-type]
        return replace(event, at=max(arrival.at, arrival.at + step + soon * chance.choice((-1, 1))))
    return event


def _restored(chance: random.Random, days: int) -> list[Event]:
    """Take a backup, and restore it an hour, a day or a week later."""
    at, age = _moment(chance, days), chance.choice(BACKUP_AGES)
    return [Event(at, "backup"), Event(at + age, "restore")]


def _is_sold_between(event: Event, begin: datetime, end: datetime) -> bool:
    """Tell whether something is sold in a time that is lost: nothing would be restored then."""
    lost = event.kind in ("coupon", "note") or (event.kind == "change" and event.then != LATER)
    return lost and begin <= event.at < end


def _some_kinds(chance: random.Random) -> dict[str, int]:
    """Leave some kinds out, differently in every story: what is rare together is common apart."""
    selling = chance.random() < SELLING
    return {
        kind: weight
        for kind, weight in WEIGHTS.items()
        if (not selling or kind in SOLD)
        and (kind in ("resume", "new card") or chance.random() < 0.7)
    }


def _moment(chance: random.Random, days: float) -> datetime:
    return BEGINNING + timedelta(minutes=chance.randrange(int(days * 24 * 60)))


def _pick(chance: random.Random, weighted: Sequence[tuple[Choice, int]]) -> Choice:
    return chance.choices([each for each, _ in weighted], [weight for _, weight in weighted])[0]


def _arrival(
    chance: random.Random, who: int, at: datetime, cards: Sequence[tuple[str, int]]
) -> Event:
    product = chance.choice(list(PRODUCTS.values()))
    return Event(
        at,
        "subscribe",
        who,
        plan=product.code,
        currency=chance.choice(list(product.prices[0].amounts)),
        quantity=_quantity(chance, product),
        zone=chance.choice(ZONES),
        card=_pick(chance, cards),
        addon=_addons(chance, product, chance.choice((-1, -1, 1))),
        coupon=chance.choice(("", "", "", "spring", "half")),
    )


def _quantity(chance: random.Random, product: Product) -> int:
    if product.seats is not None:
        return chance.choice(SEATS)
    return 1 if product.flat or product.items else chance.choice((1, 1, 2, 4, 7))


def _addons(chance: random.Random, product: Product, count: int) -> int:
    """Return how many of the add-on that fits; -1 where none does."""
    fitting = [each for each in ADDONS.values() if each.every == product.every]
    if not fitting or count < 1:
        return count if fitting else -1
    return 1 if fitting[0].flat else chance.choice((1, 4, 11))


def _change(chance: random.Random, at: datetime, arrival: Event) -> Event:
    """Ask for another plan with the same periods and policy, quantities, or an add-on."""
    product, plan, quantity, addon = PRODUCTS[arrival.plan], "", 0, -1
    draw = chance.random()
    others = [each.code for each in PRODUCTS.values() if _follows(product, each)]
    if others and draw < 0.35:
        plan = chance.choice(others)
    if draw > 0.2:
        quantity = _quantity(chance, product) + chance.choice((0, 1, 2))
    if draw > 0.75:
        addon = _addons(chance, product, chance.choice((0, 1, 1)))
        quantity = chance.choice((0, quantity))
    return Event(
        at,
        "change",
        arrival.who,
        plan=plan,
        quantity=quantity,
        addon=addon,
        then=chance.choice(("now", "now", "now", "", LATER)),
        moves=chance.random() < 0.4,
    )


def _follows(held: Product, other: Product) -> bool:
    """Tell whether a subscription may be changed to a plan, and is collected in the same way."""
    return (
        other is not held
        and other.every == held.every
        and other.anchor_day in (None, held.anchor_day)
        and (other.ladder, other.then, other.catch_up) == (held.ladder, held.then, held.catch_up)
    )


def _later(
    chance: random.Random, kinds: dict[str, int], arrivals: Sequence[Event], days: int
) -> Event:
    kind = _pick(chance, list(kinds.items()))
    at, who = _moment(chance, days), chance.randrange(len(arrivals))
    if kind == "price":
        product = chance.choice(list(PRODUCTS.values()))
        effective = at.date() + timedelta(days=chance.randint(-3, 40))
        return Event(at, kind, plan=product.code, effective=effective, moves=chance.random() < 0.7)
    if kind == "downtime":
        return Event(at, kind, days=_pick(chance, DOWNTIMES))
    if kind == "change":
        return _change(chance, at, arrivals[who])
    if kind in _DETAILS:
        return replace(Event(at, kind, who), **_DETAILS[kind](chance))
    return Event(
        at,
        kind,
        who,
        card=_pick(chance, CARDS[:4]) if kind == "new card" else "",
        part=chance.choice((0, 0, 10, 50)) if kind == "refund" else 0,
        moves=kind == "decide" and chance.random() < 0.5,
    )


def _of_grant(chance: random.Random) -> dict[str, Any]:
    days, amount = chance.choice((0, 0, 9, 40)), chance.choice(CREDITS)
    return {"days": days, "amount": amount, "priority": chance.choice((50, 50, 9))}


def _of_charge(chance: random.Random) -> dict[str, Any]:
    currency, then = chance.choice(("USD", "JPY", "KWD")), chance.choice(AFTER_A_CHARGE)
    return {"currency": currency, "part": chance.randint(1, 9) * 10, "then": then}


def _of_note(chance: random.Random) -> dict[str, Any]:
    part, then = chance.choice((0, 10, 37, 50)), chance.choice(DESTINATIONS)
    return {"part": part, "then": then, "moves": chance.random() < 0.5}


def _of_coupon(chance: random.Random) -> dict[str, Any]:
    return {"coupon": chance.choice(list(COUPONS)), "moves": chance.random() < 0.3}


_DETAILS: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "wrong clock": lambda chance: {"days": chance.choice((-40, 65, 400))},
    "grant": _of_grant,
    "charge": _of_charge,
    "note": _of_note,
    "coupon": _of_coupon,
}
