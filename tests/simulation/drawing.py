"""What happens in a story, drawn from its seed before anything happens."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import (
    ADDONS,
    COUPONS,
    PRODUCTS,
    SEATS,
    Product,
    coupon_for,
    other_plans,
)
from tests.simulation.events import BEGINNING, LATER, LOST, TERMS, Event
from tests.simulation.scenes import DOWN, SCENES
from tests.simulation.taxing import PLACES

Choice = TypeVar("Choice")
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


DOWNTIMES: Final = ((1, 16), (2, 16), (9, 16), (40, 16), (400, 1), (800, 1))  # in days
MEETING: Final = 0.6  # of what is asked for
ANY_TIME: Final = 0.03  # of what is asked for: before there is anybody of whom, too
USED_AT_A_BOUND: Final = 0.4  # of the usage that is sent
MOVING: Final = 0.3  # of the customers
RESTORES: Final = 0.35  # of the stories
SELLING: Final = 0.4  # of the stories: nobody leaves, so that more is sold
SOLD: Final = frozenset(
    {"change", "coupon", "note", "grant", "price", "pause", "resume", "new card", "downtime"}
    | {"invoice", "top up", "withdraw"}
)
# Coupons that few may redeem, or not for long.
LIMITED: Final = tuple(each.code for each in COUPONS.values() if each.limit or each.until)
BACKUP_AGES: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))

WEIGHTS: Final = {
    "pause": 4,
    "resume": 1,
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
    "coupon": 5,
    "change": 14,
    "note": 4,
    "invoice": 2,
    "top up": 2,
    "stranger": 2,
    "terms": 2,
    "withdraw": 3,
}
CREDITS: Final = (40, 310, 990, 2500, 10000)
ORDERED: Final = (310, 990, 2500, 10000)
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


def drawn(
    seed: object, *, customers: int, days: int, asks: int, scenes: Sequence[int] = ()
) -> list[Event]:
    """Draw customers who come, and what is asked for later, in order of time.

    `scenes` has the numbers of those that the first customers play.
    """
    chance = random.Random(f"events {seed}")
    cards = CARDS if chance.random() < 0.6 else CARDS[2:11]  # all of these decline at times
    moments = [_moment(chance, days / 3) for _ in range(chance.randint(1, customers))]
    events = [_arrival(chance, who, chance.choice(moments), cards) for who in range(customers)]
    played: list[Event] = []
    for who, scene in enumerate(scenes):
        play = SCENES[scene % len(SCENES)]
        since = BEGINNING + timedelta(days=days // 2 if play in DOWN else 0)
        at = since + (_moment(chance, days / 6) - BEGINNING)
        events[who], following = play(chance, replace(events[who], at=at))
        played += following
    kinds = _some_kinds(chance)
    later = [_later(chance, kinds, events, days) for _ in range(asks)]
    end = BEGINNING + timedelta(days=days)
    moved = [_moved(chance, each, events, later) for each in later]
    asked = [new if new.at < end else old for old, new in zip(later, moved, strict=True)]
    events += [*asked, *played, *_used(chance, events, days, asks), *_placed(chance, events, days)]
    events += [_resumed(chance, each) for each in asked if each.kind == "pause"]
    sharing = {each.of for each in played if each.of >= 0}
    # What is left of its amount depends on both subscriptions.
    events = [
        replace(each, moves=False) if each.coupon == "gift" and each.who in sharing else each
        for each in events
    ]
    if chance.random() < RESTORES:
        backup, restore = _restored(chance, days)
        events = [each for each in events if not _is_sold_between(each, backup.at, restore.at)]
        events += [backup, restore]
    return sorted((each for each in events if each.at < end), key=lambda event: event.at)


def _used(chance: random.Random, arrivals: Sequence[Event], days: int, asks: int) -> list[Event]:
    """Send usage for who has a plan that bills it; seldom for somebody else."""
    metered = [each for each in arrivals if PRODUCTS[each.plan].metered]
    end = BEGINNING + timedelta(days=days)
    found = []
    for _ in range(asks // 2 if metered else 1):
        arrival = chance.choice(metered if metered and chance.random() < 0.95 else arrivals)
        at = _since(chance, arrival.at, days)
        if chance.random() < USED_AT_A_BOUND:
            count, unit = PRODUCTS[arrival.plan].every
            step: dict[str, Any] = {f"{unit}s": count * chance.randint(1, 5)}
            near = timedelta(minutes=chance.choice((-40, -3, 0, 4, 30, 59, 70, 300)))
            at = arrival.at + relativedelta(**step) + near
        if at < end:
            found.append(Event(at, "usage", arrival.who, **_of_usage(chance)))
    return found


def _placed(chance: random.Random, arrivals: Sequence[Event], days: int) -> list[Event]:
    """Let some customers move, or get a VAT id, or an exemption."""
    moving = [each for each in arrivals if chance.random() < MOVING]
    return [
        Event(
            _since(chance, each.at, days),
            "tax facts",
            each.customer,
            place=chance.choice(tuple(PLACES)),
        )
        for each in moving
    ]


def _of_usage(chance: random.Random) -> dict[str, Any]:
    return {
        "quantity": chance.choice((1, 2, 5, 9)),
        "days": chance.choice((0, 0, 0, 1, 5, 11, 37)),
        "then": chance.choice(("", "", "again", "conflicting")),
        "moves": chance.random() < 0.3,
    }


def _resumed(chance: random.Random, pause: Event) -> Event:
    """Ask for the end of a pause, some time later."""
    later = timedelta(days=chance.choice((0, 1, 6, 8, 25)), minutes=chance.choice((0, 3, 700)))
    return Event(pause.at + later, "resume", pause.who)


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
    lost = event.kind in LOST or (event.kind == "change" and event.then != LATER)
    return lost and event.kind not in ("subscribe", "grant") and begin <= event.at < end


def _some_kinds(chance: random.Random) -> dict[str, int]:
    """Leave some kinds out, differently in every story: what is rare together is common apart."""
    selling = chance.random() < SELLING
    return {
        kind: weight
        for kind, weight in WEIGHTS.items()
        if (not selling or kind in SOLD)
        and (kind in ("resume", "new card", "change") or chance.random() < 0.8)
    }


def _moment(chance: random.Random, days: float) -> datetime:
    return BEGINNING + timedelta(minutes=chance.randrange(int(days * 24 * 60)))


def _since(chance: random.Random, arrival: datetime, days: float) -> datetime:
    """Return a moment after somebody came; seldom any moment."""
    end = BEGINNING + timedelta(days=days)
    if chance.random() < ANY_TIME:
        return _moment(chance, days)
    return arrival + timedelta(
        minutes=chance.randrange(int((end - arrival) / timedelta(minutes=1)))
    )


def _pick(chance: random.Random, weighted: Sequence[tuple[Choice, int]]) -> Choice:
    return chance.choices([each for each, _ in weighted], [weight for _, weight in weighted])[0]


def _arrival(
    chance: random.Random, who: int, at: datetime, cards: Sequence[tuple[str, int]]
) -> Event:
    product = chance.choice(list(PRODUCTS.values()))
    currency = chance.choice(list(product.prices[0].amounts))
    return Event(
        at,
        "subscribe",
        who,
        plan=product.code,
        currency=currency,
        quantity=_quantity(chance, product),
        zone=chance.choice(ZONES),
        card=_pick(chance, cards),
        addon=_addons(chance, product, chance.choice((-1, -1, 1))),
        coupon=coupon_for(chance, product, currency) if chance.random() < 0.5 else "",
        place=chance.choice(tuple(PLACES)),
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
    others = other_plans(product, arrival.currency)
    if others and (draw < 0.4 or not product.is_counted):
        product = chance.choice(others)
        plan = product.code
    if draw > 0.2 or not plan:
        quantity = _quantity(chance, product) + chance.choice((0, 1, 2, 3))
    if draw > 0.7 or not (plan or product.is_counted):
        addon = _addons(chance, product, chance.choice((0, 1, 1)))
        quantity = chance.choice((0, quantity)) if addon >= 0 else quantity
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


def _later(
    chance: random.Random, kinds: dict[str, int], arrivals: Sequence[Event], days: int
) -> Event:
    kind = _pick(chance, list(kinds.items()))
    who = chance.randrange(len(arrivals))
    at = _since(chance, arrivals[who].at, days)
    if kind == "price":
        product = chance.choice(list(PRODUCTS.values()))
        effective = at.date() + timedelta(days=chance.randint(-3, 40))
        return Event(at, kind, plan=product.code, effective=effective, moves=chance.random() < 0.7)
    if kind == "downtime":
        return Event(at, kind, days=_pick(chance, DOWNTIMES))
    if kind == "change":
        return _change(chance, at, arrivals[who])
    if kind == "coupon":
        coupon = coupon_for(chance, PRODUCTS[arrivals[who].plan], arrivals[who].currency)
        coupon = chance.choice((coupon, *LIMITED))
        return Event(at, kind, who, coupon=coupon, moves=chance.random() < 0.3)
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


def _of_invoice(chance: random.Random) -> dict[str, Any]:
    return {"days": chance.choice((0, 0, 10)), "amount": chance.choice(ORDERED)}


def _of_top_up(chance: random.Random) -> dict[str, Any]:
    return _of_grant(chance) | {"amount": chance.choice(ORDERED)}


def _of_stranger(chance: random.Random) -> dict[str, Any]:
    return {"amount": chance.choice(ORDERED), "moves": chance.random() < 0.4}


def _of_charge(chance: random.Random) -> dict[str, Any]:
    currency, then = chance.choice(("USD", "JPY", "KWD")), chance.choice(AFTER_A_CHARGE)
    return {"currency": currency, "part": chance.randint(1, 9) * 10, "then": then}


def _of_note(chance: random.Random) -> dict[str, Any]:
    part, then = chance.choice((0, 10, 37, 50)), chance.choice(DESTINATIONS)
    return {"part": part, "then": then, "moves": chance.random() < 0.5}


_DETAILS: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "wrong clock": lambda chance: {"days": chance.choice((-40, 65, 400))},
    "grant": _of_grant,
    "invoice": _of_invoice,
    "top up": _of_top_up,
    "stranger": _of_stranger,
    "terms": lambda chance: {"then": chance.choice(list(TERMS))},
    "charge": _of_charge,
    "note": _of_note,
}
