"""Courses of events that chance alone would rarely make: what somebody does, step after step.

A scene takes an arrival, and returns it, changed where the scene needs that, with what follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any, Final

from dateutil.relativedelta import relativedelta

from tests.simulation.catalog import (
    ADDONS,
    COUPONS,
    PRODUCTS,
    Product,
    coupon_for,
    other_plans,
)
from tests.simulation.events import LATER, Event

Scene = Callable[[Random, Event], tuple[Event, Sequence[Event]]]

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
SECOND: Final = 100  # the number of a customer's second subscription is so much higher
PAYS: Final = "pm_card_visa"
DECLINES: Final = "pm_sbx_insufficient_funds"
DECLINES_LATER: Final = "pm_sbx_ok_1_then_insufficient_funds"


def _start(arrival: Event, n: int) -> datetime:
    """Return about when the period begins that many steps later."""
    count, unit = PRODUCTS[arrival.plan].every
    step: dict[str, Any] = {f"{unit}s": count * n}
    return arrival.at + relativedelta(**step)


def _sold_as(chance: Random, arrival: Event, products: Sequence[Product]) -> Event:
    """Return the arrival with a plan that fits a scene."""
    product = chance.choice(products)
    currency = chance.choice(list(product.prices[0].amounts))
    quantity = 6 if product.seats is not None else 1 if not product.is_counted else 2
    addon = -1 if arrival.addon > 0 else arrival.addon
    return replace(
        arrival, plan=product.code, currency=currency, quantity=quantity, addon=addon, coupon=""
    )


_ALL: Final = tuple(PRODUCTS.values())
_SHORT: Final = tuple(each for each in _ALL if each.every[1] in ("day", "week"))
_COUNTED: Final = tuple(each for each in _ALL if each.is_counted and not each.trial_days)
_WITH_ADDONS: Final = tuple(
    each for each in _ALL if any(addon.every == each.every for addon in ADDONS.values())
)


def late_coupon(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A coupon is redeemed after a period's start, and before anybody opens it."""
    arrival = _sold_as(chance, arrival, _SHORT)
    start = _start(arrival, chance.randint(1, 3)) - 2 * HOUR
    coupon = coupon_for(chance, PRODUCTS[arrival.plan], arrival.currency)
    at = start + DAY + timedelta(minutes=chance.choice((0, 1)))
    return arrival, [
        Event(start, "downtime", days=1),
        Event(at, "coupon", arrival.who, coupon=coupon, moves=chance.random() < 0.3),
    ]


def void_with_credit(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """An invoice that credit paid a part of is declined, and voided by a cancellation."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=DECLINES_LATER)
    start, amount = _start(arrival, 1), chance.choice((40, 90))
    return arrival, [
        Event(start - 5 * HOUR, "grant", arrival.who, amount=amount),
        Event(start + chance.choice((1, 30)) * HOUR, "cancel", arrival.who),
    ]


def refund_fails(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A refund fails, or takes its time, and more is given back."""
    card = chance.choice(("pm_card_refundFail", "pm_card_refundFail", "pm_card_pendingRefund"))
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=card)
    at = arrival.at + chance.choice((9, 20)) * HOUR
    return arrival, [
        Event(at, "refund", arrival.who, part=chance.choice((0, 50))),
        Event(at + 2 * DAY, "note", arrival.who, then="refund", part=chance.choice((0, 37))),
        Event(at + 3 * DAY, "refund", arrival.who),
    ]


def disputed(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A bank takes money, and decides."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=PAYS)
    at = arrival.at + DAY
    decides = at + chance.choice((1, 6, 20)) * DAY
    won = chance.random() < 0.5
    return arrival, [
        *(Event(at + n * DAY, "dispute", arrival.who + n) for n in range(4)),
        Event(at + 3 * HOUR, "refund", arrival.who, part=50),
        Event(decides + 4 * DAY, "decide", arrival.who, moves=won),
        Event(decides + 5 * DAY, "decide", arrival.who, moves=not won),
    ]


def declined_change(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A change at once is declined; then a new card pays, or the ladder ends."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=DECLINES_LATER)
    at = arrival.at + chance.choice((2, 30)) * HOUR
    asked = [Event(at, "change", arrival.who, quantity=9, then="now")]
    if chance.random() < 0.7:
        asked.append(Event(at + chance.choice((5, 40)) * HOUR, "new card", arrival.who, card=PAYS))
    return arrival, asked


def several_changes(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """What is held changes several times in a period: more, another plan, less."""
    products = [each for each in _COUNTED if other_plans(each, _currency(each))]
    arrival = _sold_as(chance, arrival, products)
    arrival = replace(arrival, card=PAYS, currency=_currency(PRODUCTS[arrival.plan]))
    product = PRODUCTS[arrival.plan]
    coupons = ("", coupon_for(chance, product, arrival.currency))
    arrival = replace(arrival, coupon=chance.choice(coupons))
    at, asked = arrival.at + 2 * HOUR, []
    others = [each.code for each in other_plans(product, arrival.currency)]
    for quantity, plan in ((chance.choice((4, 7)), ""), (0, chance.choice(others)), (2, "")):
        then = chance.choice(("now", "now", LATER))
        asked.append(Event(at, "change", arrival.who, quantity=quantity, plan=plan, then=then))
        at += chance.choice((3, 20, 50)) * HOUR
    return arrival, asked


def _currency(product: Product) -> str:
    return next(iter(product.prices[0].amounts))


def add_on(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """An add-on is held from the start or added, and removed again."""
    arrival = replace(_sold_as(chance, arrival, _WITH_ADDONS), addon=1, card=PAYS)
    at = arrival.at + chance.choice((2, 30)) * HOUR
    then = chance.choice(("now", LATER))
    return arrival, [
        Event(at, "change", arrival.who, quantity=0, addon=0, then=then),
        Event(_start(arrival, 2) + DAY, "change", arrival.who, quantity=0, addon=1, then="now"),
    ]


def noted(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Parts of an invoice with a discount are given back, twice; the credit pays the next one."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=PAYS)
    coupon = coupon_for(chance, PRODUCTS[arrival.plan], arrival.currency)
    at = arrival.at + 3 * HOUR
    return replace(arrival, coupon=coupon), [
        Event(
            at, "note", arrival.who, part=37, then=chance.choice(("credit", "refund", "outside"))
        ),
        Event(at + DAY, "note", arrival.who, part=10, moves=True, then="outside"),
        Event(at + 2 * DAY, "note", arrival.who, part=0, then=chance.choice(("credit", "refund"))),
    ]


def last_day(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A coupon is redeemed on its last day, or on the day after it."""
    coupon = next(each for each in COUPONS.values() if each.until is not None)
    assert coupon.until is not None
    midnight = datetime.combine(coupon.until, time(), UTC) + DAY
    at = midnight + chance.choice((-20, -3, 3, 20)) * HOUR
    return arrival, [Event(at, "coupon", arrival.who, coupon=coupon.code, moves=False)]


def new_card_after_the_ladder(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Nobody pays until the ladder is over; then there is another card."""
    arrival = replace(arrival, card=chance.choice((DECLINES, DECLINES_LATER)))
    late = _start(arrival, 1) + chance.choice((4, 12, 20)) * DAY
    return arrival, [
        Event(late, "new card", arrival.who, card=PAYS),
        Event(late + DAY, chance.choice(("resume", "retry", "pause")), arrival.who),
    ]


def trial(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """What is held changes in a trial; some leave with its end."""
    arrival = _sold_as(chance, arrival, [each for each in _ALL if each.trial_days])
    arrival = replace(arrival, card=PAYS)
    leaves = Event(arrival.at + 3 * DAY, "cancel at period end", arrival.who)
    return arrival, [
        Event(arrival.at + DAY, "change", arrival.who, quantity=3, addon=1, then="now"),
        *([leaves] if chance.random() < 0.5 else []),
    ]


def free(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A plan costs nothing, until something is added to it."""
    arrival = _sold_as(chance, arrival, [PRODUCTS["free"]])
    at = arrival.at + chance.choice((1, 8)) * DAY
    return replace(arrival, card=PAYS), [
        Event(at, "change", arrival.who, quantity=0, addon=1, then=chance.choice(("now", LATER))),
        Event(at + 3 * DAY, "coupon", arrival.who, coupon="half"),
    ]


def missed(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """No scheduler runs for more than a period."""
    arrival = _sold_as(chance, arrival, [PRODUCTS["skipped"], PRODUCTS["parked"]])
    start = _start(arrival, 1) - DAY
    return arrival, [Event(start, "downtime", days=9), Event(start, "pause", arrival.who)]


def skipped(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A period passes that is never billed."""
    arrival = _sold_as(chance, arrival, [PRODUCTS["skipped"]])
    start = _start(arrival, 1) - 3 * HOUR
    end = start + 9 * DAY
    return replace(arrival, card=PAYS), [
        Event(start, "downtime", days=9),
        Event(end, "coupon", arrival.who, coupon="month"),
        Event(end, "coupon", arrival.who, coupon="spring"),
    ]


def paused(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A pause begins and ends about where a period begins."""
    arrival = replace(_sold_as(chance, arrival, _SHORT), card=PAYS)
    begin, end = _start(arrival, 1), _start(arrival, 3)
    near = (-HOUR, -timedelta(minutes=3), timedelta(), timedelta(minutes=3), HOUR)
    return arrival, [
        Event(begin + chance.choice(near), "pause", arrival.who),
        Event(end + chance.choice(near), "resume", arrival.who),
    ]


def shop(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A shop charges by itself: holds money, takes it, gives it back."""
    ways = ("authorize, void", "authorize, capture a part", "refund", "authorize, capture", "")
    stranger = Event(arrival.at + 6 * DAY, "stranger", amount=990, moves=True)
    charged = [
        Event(
            arrival.at + (n + 1) * DAY,
            "charge",
            arrival.who,
            currency=chance.choice(("USD", "JPY", "KWD")),
            part=chance.randint(1, 9) * 10,
            then=then,
        )
        for n, then in enumerate(ways)
    ]
    payout = Event(arrival.at + 20 * DAY, "payout")
    return replace(arrival, card=PAYS), [*charged, stranger, payout]


def prepaid(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Credit is bought and given, pays, and expires."""
    arrival = replace(_sold_as(chance, arrival, _SHORT), card=PAYS)
    at = arrival.at + 5 * HOUR
    return arrival, [
        Event(at, "top up", arrival.who, amount=2500, days=chance.choice((0, 30))),
        Event(at, "grant", arrival.who, amount=990, days=9, priority=chance.choice((9, 50))),
        Event(at + DAY, "invoice", arrival.who, amount=310, days=chance.choice((0, 10))),
        Event(at + 3 * DAY, "invoice", arrival.who, amount=10_000),
        Event(at + 4 * DAY, "grant", arrival.who, amount=10_000, days=3),
    ]


def small_rest(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Credit leaves less of an invoice than can be charged."""
    arrival = _sold_as(chance, arrival, [PRODUCTS["volume"], PRODUCTS["parked"]])
    arrival = replace(arrival, quantity=1, card=PAYS)
    amount = {"volume": 290, "parked": 680}[arrival.plan]
    return arrival, [Event(_start(arrival, 1) - HOUR, "grant", arrival.who, amount=amount)]


def never_paid(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Nobody ever pays: the ladder ends."""
    plans = (PRODUCTS["unpaid"], PRODUCTS["strict"])
    return replace(_sold_as(chance, arrival, plans), card=DECLINES), []


def gone(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A card is taken away at the provider, or lost."""
    arrival = _sold_as(chance, arrival, _SHORT)
    if chance.random() < 0.7:
        return replace(arrival, card="pm_sbx_ok_1_then_lost_card"), []
    detached = Event(arrival.at + 3 * HOUR, "detach", arrival.who)
    return replace(arrival, card=PAYS), [detached]


def coupons(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Several coupons hold for one invoice, some of them for what is charged once."""
    arrival = _sold_as(chance, arrival, [PRODUCTS["team"], PRODUCTS["stub"]])
    at = arrival.at + DAY
    return replace(arrival, coupon=chance.choice(("month", "spring")), card=PAYS), [
        Event(at, "coupon", arrival.who, coupon="half", moves=True),
        Event(at, "coupon", arrival.who, coupon=chance.choice(("seats", "welcome"))),
        Event(at + 2 * DAY, "change", arrival.who, quantity=21, addon=1, then="now"),
    ]


def short_coupons(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Coupons are used up: by their months, their rest, and their number of invoices."""
    arrival = replace(
        _sold_as(chance, arrival, [PRODUCTS["weekly"], PRODUCTS["volume"]]), card=PAYS
    )
    at = arrival.at + HOUR
    return replace(arrival, currency="USD", coupon=chance.choice(("month", "gift"))), [
        Event(at, "coupon", arrival.who, coupon="gift"),
        Event(at, "coupon", arrival.who, coupon="month"),
        Event(at + DAY, "coupon", arrival.who, coupon="spring", moves=True),
    ]


def limited(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Two customers redeem a coupon that one may redeem, at once or one after the other."""
    at = arrival.at + DAY
    later = at + chance.choice((timedelta(), timedelta(minutes=1), DAY))
    return arrival, [
        Event(at, "coupon", arrival.who, coupon="rare"),
        Event(later, "coupon", max(0, arrival.who - 1), coupon="rare"),
    ]


def left(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Somebody cancels, and some take it back."""
    arrival = replace(_sold_as(chance, arrival, _SHORT), card=PAYS)
    at = _start(arrival, 1) + chance.choice((-2, 1, 20)) * HOUR
    kept = Event(at + HOUR, "resume", arrival.who)
    kind = chance.choice(("cancel", "cancel at period end", "cancel at period end"))
    return arrival, [Event(at, kind, arrival.who), *([kept] if chance.random() < 0.3 else [])]


_USAGE: Final = tuple(each for each in _ALL if each.metered)


def used(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Usage is sent: in time, twice, by two writers, under a taken id, and late."""
    arrival = replace(_sold_as(chance, arrival, _USAGE), card=PAYS)
    coupon = coupon_for(chance, PRODUCTS[arrival.plan], arrival.currency)
    arrival = replace(arrival, coupon=chance.choice(("", coupon)))
    second, third = _start(arrival, 1), _start(arrival, 2)
    return arrival, [
        Event(arrival.at + DAY, "usage", arrival.who, quantity=9, moves=True),
        Event(arrival.at + 3 * DAY, "usage", arrival.who, quantity=2, then="again"),
        Event(arrival.at + 4 * DAY, "usage", arrival.who, quantity=2, then="conflicting"),
        Event(second + timedelta(minutes=50), "usage", arrival.who, quantity=9),
        Event(second + DAY, "usage", arrival.who, quantity=9, days=2, moves=True),
        Event(third - HOUR, "usage", arrival.who, quantity=5, days=1, then="again"),
        Event(third + 12 * DAY, "usage", arrival.who, quantity=5, days=10),
    ]


def used_and_changed(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Usage is sent before and after a change to another plan, which some take back."""
    arrival = replace(_sold_as(chance, arrival, _USAGE), card=PAYS)
    others = [each.code for each in other_plans(PRODUCTS[arrival.plan], arrival.currency)]
    metered = [each for each in others if PRODUCTS[each].metered]
    at = arrival.at + chance.choice((1, 2, 3)) * DAY
    back = chance.choice((arrival.plan, *others))
    return arrival, [
        Event(at - 2 * HOUR, "usage", arrival.who, quantity=9),
        Event(at, "change", arrival.who, plan=chance.choice(metered or others), then="now"),
        Event(at + 20 * HOUR, "usage", arrival.who, quantity=9),
        Event(at + 2 * DAY, "change", arrival.who, plan=back, then=chance.choice(("now", LATER))),
        Event(at + 3 * DAY, "usage", arrival.who, quantity=5, days=1),
        Event(_start(arrival, 1) + 3 * DAY, "usage", arrival.who, quantity=9, days=6),
        Event(_start(arrival, 2) + DAY, "usage", arrival.who, quantity=5),
    ]


def used_to_the_end(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Usage is sent before and after a pause or an end, which begins about when a period does."""
    card = chance.choice((PAYS, PAYS, DECLINES_LATER))
    arrival = replace(_sold_as(chance, arrival, _USAGE), card=card)
    soon = timedelta(minutes=50)  # a cycle is opened an hour after its period began
    near = (-HOUR, timedelta(minutes=3), soon, soon, 30 * HOUR)
    at = _start(arrival, 2) + chance.choice(near)
    kind = chance.choice(("cancel", "cancel", "cancel at period end", "pause"))
    resumed = [Event(at + 9 * DAY, "resume", arrival.who)] if kind == "pause" else []
    return arrival, [
        Event(at - 3 * DAY, "usage", arrival.who, quantity=9),
        Event(at - timedelta(minutes=2), "usage", arrival.who, quantity=5),
        Event(at, kind, arrival.who),
        Event(at + 20 * HOUR, "usage", arrival.who, quantity=9, days=1),
        Event(at + 6 * DAY, "usage", arrival.who, quantity=9, days=5),
        *resumed,
    ]


def two(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A customer has two subscriptions, which share coupons, credit and a card."""
    arrival = replace(_sold_as(chance, arrival, _SHORT), card=PAYS)
    other = _sold_as(chance, arrival, [PRODUCTS[arrival.plan], PRODUCTS["weekly"]])
    other = replace(
        other,
        at=arrival.at + timedelta(minutes=chance.choice((1, 20))),
        who=SECOND + arrival.who,
        of=arrival.who,
        card="",
        currency="USD",
    )
    at = arrival.at + HOUR
    coupon = chance.choice(("spring", "welcome", "month"))
    asked = [
        Event(at, "coupon", arrival.who, coupon=coupon, moves=True),
        Event(_start(arrival, 1) - HOUR, "grant", arrival.who, amount=chance.choice((310, 990))),
        Event(at + 3 * DAY, "change", other.who, quantity=6, then=chance.choice(("now", LATER))),
    ]
    if chance.random() < 0.4:
        asked.append(Event(_start(arrival, 3) - DAY, "new card", arrival.who, card=DECLINES))
    if chance.random() < 0.4:
        asked.append(Event(_start(arrival, 3) + DAY, "cancel", other.who))
    return replace(arrival, currency="USD"), [other, *asked]


def up_and_down(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Units come, some of which a note gives back, and go again within one period."""
    products = [each for each in _COUNTED if each.every[1] != "day"]
    arrival = replace(_sold_as(chance, arrival, products), card=PAYS)
    at = arrival.at + chance.choice((20, 30)) * HOUR
    asked = [Event(at, "change", arrival.who, quantity=9, then="now")]
    if chance.random() < 0.5:
        part, noted = chance.choice((37, 50)), at + 20 * HOUR
        asked.append(Event(noted, "note", arrival.who, part=part, then="credit"))
    for quantity in chance.choice(((4,), (7, 3), (12, 2))):
        at += chance.choice((30, 50)) * HOUR
        asked.append(Event(at, "change", arrival.who, quantity=quantity, then="now"))
    return arrival, asked


def kept(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Another plan keeps the quantities that both have; what was scheduled before may not fit."""
    products = [each for each in _COUNTED if other_plans(each, _currency(each))]
    arrival = _sold_as(chance, arrival, products)
    arrival = replace(arrival, card=PAYS, currency=_currency(PRODUCTS[arrival.plan]))
    product = PRODUCTS[arrival.plan]
    others = [
        each.code
        for each in other_plans(product, arrival.currency)
        if each.is_counted and (each.seats is None) == (product.seats is None)
    ]
    others = others or [each.code for each in other_plans(product, arrival.currency)]
    at = arrival.at + chance.choice((20, 30)) * HOUR
    then = chance.choice(("now", LATER, ""))
    asked = [Event(at, "change", arrival.who, quantity=0, plan=chance.choice(others), then=then)]
    if chance.random() < 0.4:
        asked.append(Event(at - 5 * HOUR, "change", arrival.who, quantity=11, then=LATER))
    if chance.random() < 0.4:
        back = Event(at + 40 * HOUR, "change", arrival.who, quantity=0, plan=arrival.plan)
        asked.append(replace(back, then="now"))
    return arrival, asked


def owes(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """Who is past due asks for more, for less, and for another plan."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=DECLINES_LATER)
    at = _start(arrival, 1) + chance.choice((8, 30)) * HOUR
    more = Event(at, "change", arrival.who, quantity=12, then=chance.choice(("now", "", LATER)))
    return arrival, [
        more,
        Event(at + 2 * HOUR, "change", arrival.who, quantity=1, then="now"),
        Event(at + 9 * DAY, "new card", arrival.who, card=PAYS),
    ]


def waits(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A card expires: nothing is tried, and the customer has as long as the ladder lasts."""
    arrival = replace(_sold_as(chance, arrival, _SHORT), card="pm_sbx_ok_1_then_expired_card")
    card = Event(_start(arrival, 2) + 4 * DAY, "new card", arrival.who, card=PAYS)
    return arrival, [card] if chance.random() < 0.3 else []


def quoted(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A quote is looked at while something else changes what it follows from."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=PAYS)
    at, who = arrival.at + chance.choice((20, 30)) * HOUR, arrival.who
    asked = []
    for n in range(3):
        moment = at + n * 30 * HOUR
        asked.append(Event(moment, "change", who, quantity=5 + 3 * n, then="now", moves=True))
        asked.append(Event(moment, "grant", who, amount=chance.choice((40, 310))))
        asked.append(Event(moment, "note", who, part=10, then="credit"))
    return arrival, asked


def withdrawn(chance: Random, arrival: Event) -> tuple[Event, Sequence[Event]]:
    """A change that is to hold from a period on is taken back, also about when that begins."""
    arrival = replace(_sold_as(chance, arrival, _COUNTED), card=PAYS)
    start, who = _start(arrival, 1), arrival.who
    near = timedelta(minutes=chance.choice((-300, -2, 0, 1, 3)))
    asked = [
        Event(arrival.at + 5 * HOUR, "change", who, quantity=3, then=LATER),
        Event(arrival.at + 6 * HOUR, "change", who, quantity=9, then=LATER),
        Event(start + near, "withdraw", who),
    ]
    if chance.random() < 0.4:
        asked.append(Event(start + near + timedelta(minutes=2), "withdraw", who))
    return arrival, asked


SCENES: Final[Sequence[Scene]] = (
    withdrawn,
    two,
    up_and_down,
    kept,
    owes,
    waits,
    quoted,
    late_coupon,
    used,
    void_with_credit,
    refund_fails,
    several_changes,
    used_and_changed,
    declined_change,
    noted,
    limited,
    used_to_the_end,
    disputed,
    add_on,
    short_coupons,
    new_card_after_the_ladder,
    trial,
    prepaid,
    skipped,
    coupons,
    last_day,
    never_paid,
    paused,
    shop,
    small_rest,
    gone,
    free,
    left,
    missed,
)
# Those that stop everything for a while come when others are over.
DOWN: Final = frozenset({late_coupon, skipped, missed})
