"""What was refused, and whether it had to be: each refusal has a reason in what was done before.

Only refusals are judged whose reason the model knows for certain; a restore takes reasons back.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from billing.errors import ErrorCode
from tests.simulation.catalog import COUPONS
from tests.simulation.events import Event
from tests.simulation.pricing import HELD_UP
from tests.simulation.wires import CLOCKS

if TYPE_CHECKING:
    from tests.simulation.asking import Fact
    from tests.simulation.simulation import Simulation


@dataclass(frozen=True)
class Refusal:
    """What was refused, when by the clock of who asked, and why."""

    event: Event
    at: datetime
    code: ErrorCode | None
    words: str


def unjustified(simulation: "Simulation", conn: Connection) -> Iterator[str]:
    """Yield the refusals that have no reason."""
    if simulation.schedule.happened["database restored"]:
        return
    facts = _Facts(simulation, conn)
    for each in simulation.refusals:
        judge = _JUDGES.get(each.code) if each.code is not None else None
        if judge is not None and not judge(facts, each):
            yield f"{each.event.kind} of customer {each.event.who} on {each.at}: {each.words}"


class _Facts:
    """What was carried out, as the judges need it."""

    def __init__(self, simulation: "Simulation", conn: Connection) -> None:
        self._facts = simulation.facts
        self.redeemed = Counter(conn.execute(_REDEEMED).scalars())
        self.payments = conn.execute(_PAYMENTS).all()
        self.given = conn.execute(_GIVEN_BACK).all()
        self.ended: Mapping[str, datetime] = {
            row.external_id: row.ended for row in conn.execute(_ENDED)
        }

    def of(self, who: int, *kinds: str) -> "list[Fact]":
        return [each for each in self._facts if each.event.who == who and each.event.kind in kinds]

    def zone(self, who: int) -> str:
        return next((each.event.zone for each in self.of(who, "subscribe")), "UTC")


def _is_unknown(facts: _Facts, refusal: Refusal) -> bool:
    made = facts.of(refusal.event.who, "subscribe")
    return not any(each.at < refusal.at - CLOCKS - 2 * HELD_UP for each in made)


def _is_expired(facts: _Facts, refusal: Refusal) -> bool:
    event = refusal.event
    zone = "UTC" if event.kind == "coupon" and event.moves else facts.zone(event.who)
    until = COUPONS[event.coupon].until
    return until is not None and refusal.at.astimezone(ZoneInfo(zone)).date() > until


def _is_used_up(facts: _Facts, refusal: Refusal) -> bool:
    limit = COUPONS[refusal.event.coupon].limit
    return limit is not None and facts.redeemed[refusal.event.coupon] >= limit


def _is_redeemed(facts: _Facts, refusal: Refusal) -> bool:
    event = refusal.event
    return any(
        each.event.coupon == event.coupon
        and (each.event.kind == "coupon" and each.event.moves) == event.moves
        for each in facts.of(event.who, "coupon", "subscribe")
    )


def _takes_nothing_off(facts: _Facts, refusal: Refusal) -> bool:
    currency = next((each.event.currency for each in facts.of(refusal.event.who, "subscribe")), "")
    coupon = COUPONS[refusal.event.coupon]
    return coupon.percent is None and currency not in coupon.amounts


def _has_ended(facts: _Facts, refusal: Refusal) -> bool:
    ended = facts.ended.get(f"s{refusal.event.who}")
    return ended is not None and ended <= refusal.at + CLOCKS


def _owes(facts: _Facts, refusal: Refusal) -> bool:
    paying = {"pm_card_visa", "pm_card_mastercard", "pm_card_refundFail", "pm_card_pendingRefund"}
    who = refusal.event.who
    cards = {each.event.card for each in facts.of(who, "subscribe", "new card")}
    return bool(facts.of(who, "detach")) or not cards <= paying


def _is_given_back(facts: _Facts, refusal: Refusal) -> bool:
    """Tell whether so much isn't left of what was paid last; disputes and notes take of it."""
    at = refusal.at
    paid = [
        each
        for each in facts.payments
        if each.customer == f"c{refusal.event.who}" and each.captured_at <= at + CLOCKS
    ]
    close = any(abs(each.captured_at - at) <= CLOCKS + HELD_UP for each in paid)
    if not paid or close:
        return True
    payment = max(paid, key=lambda each: each.captured_at)
    if payment.is_reduced:
        return True
    back = sum(
        each.amount
        for each in facts.given
        if each.payment_id == payment.id and each.created_at <= at + CLOCKS + HELD_UP
    )
    part = refusal.event.part
    wanted = max(10, payment.amount * part // 100 // 10 * 10) if part else 1
    return bool(back + wanted > payment.amount)


def _was_asked(kind: str, facts: _Facts, refusal: Refusal) -> bool:
    return bool(facts.of(refusal.event.who, kind))


_JUDGES: Final[Mapping[ErrorCode, Callable[[_Facts, Refusal], bool]]] = {
    ErrorCode.SUBSCRIPTION_NOT_FOUND: _is_unknown,
    ErrorCode.CUSTOMER_NOT_FOUND: _is_unknown,
    ErrorCode.COUPON_EXPIRED: _is_expired,
    ErrorCode.COUPON_USED_UP: _is_used_up,
    ErrorCode.COUPON_REDEEMED_ALREADY: _is_redeemed,
    ErrorCode.COUPON_CURRENCY: _takes_nothing_off,
    ErrorCode.SUBSCRIPTION_ENDED: _has_ended,
    ErrorCode.NOTHING_LEFT_TO_REFUND: _is_given_back,
    ErrorCode.REFUND_TOO_HIGH: _is_given_back,
    ErrorCode.CHANGE_UNPAID: _owes,
    ErrorCode.CHANGE_PAST_DUE: _owes,
    ErrorCode.CHANGE_ENDING: partial(_was_asked, "cancel at period end"),
}
_PAYMENTS: Final = text(
    "SELECT p.id, c.external_id AS customer, p.amount, p.captured_at,"
    "       EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id)"
    "       OR EXISTS (SELECT FROM credit_notes n WHERE n.invoice_id = p.invoice_id)"
    "       OR p.amount_captured <> p.amount"
    "       OR p.amount <> i.total AS is_reduced"  # credit paid the rest, which a note counts, too
    "  FROM payments p JOIN customers c ON c.id = p.customer_id"
    "  LEFT JOIN invoices i ON i.id = p.invoice_id"
    " WHERE p.captured_at IS NOT NULL AND i.kind IS NOT NULL AND i.kind <> 'top_up'"
)
_GIVEN_BACK: Final = text("SELECT payment_id, amount, created_at FROM refunds")
_REDEEMED: Final = text("SELECT coupon FROM redemptions")
_ENDED: Final = text(
    "SELECT external_id, coalesce(canceled_at, cancels_at) AS ended FROM subscriptions"
    " WHERE coalesce(canceled_at, cancels_at) IS NOT NULL"
)
