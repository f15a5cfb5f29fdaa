"""The demo's money: refunds, disputes, exchanges, and changes at the provider without the engine.

A list of planned actions. Each names a customer of `world.CASES` and is carried out at the first
stop of the clock on or after its day, or at a later one if that customer has no payment yet. In
between, random payments are refunded and disputed.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import text

from billing.flows.refunds import requesting
from billing.gateway import registry
from billing.plans.currencies import charge_step
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.rules.payments import State
from billing.store.rows import reader
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.demo.shop import Shop
from billing.workers.demo.world import BRAINTREE, STRIPE, InjectedFaults, reference_of
from billing.workers.runtime.runtime import Runtime

WEBHOOKS: Final = f"/v1/webhooks/{STRIPE}"
NOTIFICATIONS: Final = f"/v1/webhooks/{BRAINTREE}"
# Charges in these currencies settle in others; rates are per major unit.
SETTLED_IN: Final = {"jpy": "usd", "gbp": "eur"}
RATES: Final = {"jpy:usd": "0.0067", "gbp:eur": "1.1634"}
# A merchant account takes one currency; pounds are paid out in euros.
MERCHANT_ACCOUNTS: Final = {
    "default": {},
    "demo_eur": {"currency": "EUR"},
    "demo_gbp": {"currency": "GBP", "settlement_currency": "EUR", "exchange_rate": "1.1634"},
}
KINDS_TOLD: Final = (
    "transaction_settled",
    "transaction_settlement_declined",
    "disbursement",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
    "payment_method_revoked_by_customer",
)
DELIVERY_FAULTS: Final = {"loss": 0.2, "duplication": 0.2, "reordering": 0.2, "reordering_ms": 200}

# Random refunds and disputes: how often, how many of how many subscriptions. None in the last days,
# because a refund or a dispute takes some days to end.
REFUNDS_EVERY: Final = timedelta(days=10)
DISPUTES_EVERY: Final = timedelta(days=30)
SUBSCRIPTIONS_A_REFUND: Final = 150
DECIDED_AFTER: Final = timedelta(days=9)
LAST_REFUND: Final = timedelta(days=7)
LAST_DISPUTE: Final = timedelta(days=14)

OUTCOMES: Final = {STRIPE: ("won", "lost", "warning_closed"), BRAINTREE: ("won", "lost")}

STRANGE_AMOUNT: Final = 700
ACTOR: Final = Actor(ActorKind.DEMO)

Action = Callable[[datetime], bool]
"""Acts at an instant; False when it can't yet."""


@dataclass
class Done:
    """What the demo did with money, for the report to hold the books against."""

    refunds_asked: set[UUID] = field(default_factory=set)
    disputes_opened: set[str] = field(default_factory=set)
    taken: list[Mapping[str, Any]] = field(default_factory=list)
    """The PaymentIntents that were made at the provider without the engine."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured payment of an invoice, with the name of its subscription and its period."""

    id: UUID
    provider: str
    state: State
    amount_captured: int
    currency: str
    provider_payment_id: str
    external_id: str
    n: int


_capture = reader(Capture)


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """An action, and from when on it may be carried out."""

    at: datetime
    action: Action


class DemoMoney:
    """Carries out the planned actions as days pass, and records them in `done`."""

    def __init__(
        self,
        runtime: Runtime,
        sandbox: SandboxControl,
        injected: InjectedFaults,
        rng: random.Random,
        *,
        start: datetime,
        end: datetime,
        subscriptions: int,
        faults: bool,
    ) -> None:
        self.done = Done()
        self._runtime = runtime
        self._sandbox = sandbox
        self._injected = injected
        self._rng = rng
        self._end = end
        self._refunds_a_time = -(-subscriptions // SUBSCRIPTIONS_A_REFUND)
        self._touched: set[UUID] = set()
        self._planned = _timetable(self, start, faults)
        self._next_refunds = start + timedelta(days=12)
        self._next_dispute = start + timedelta(days=35)

    @cached_property
    def shop(self) -> Shop:
        """The other program, with the key that it was given when it was first needed."""
        return Shop(self._runtime)

    @property
    def planned(self) -> list[datetime]:
        """From when on the planned actions may be carried out."""
        return [action.at for action in self._planned]

    def plan(self, actions: Sequence[PlannedAction]) -> None:
        """Plan more actions than its own."""
        self._planned.extend(actions)

    def prepare(self, seed: int, *, faults: bool) -> None:
        """Set up the sandbox: our webhook endpoint, how it settles, and which deliveries fail."""
        settings = self._runtime.settings
        self._sandbox.settings(settlement_currency=SETTLED_IN, exchange_rates=RATES)
        self._sandbox.deliver_to(
            f"http://{settings.api.host}:{settings.api.port}{WEBHOOKS}",
            settings.webhook_secrets(settings.default_provider)[0],
            sorted(registry.KINDS[STRIPE].event_types),
        )
        self._sandbox.braintree_settings(
            merchant_accounts=MERCHANT_ACCOUNTS, test_amounts=False, real_timestamps=True
        )
        self._sandbox.deliver_notifications_to(
            f"http://{settings.api.host}:{settings.api.port}{NOTIFICATIONS}", KINDS_TOLD
        )
        if faults:
            self._sandbox.delivery_conditions(seed=seed, **DELIVERY_FAULTS)

    def a_day_passed(self, now: datetime) -> None:
        """Carry out what is due by now."""
        due = [planned for planned in self._planned if planned.at <= now]
        for planned in due:
            if planned.action(now):
                self._planned.remove(planned)
        if self._next_refunds <= now <= self._end - LAST_REFUND:
            self._next_refunds += REFUNDS_EVERY
            self._refund_some(now)
        if self._next_dispute <= now <= self._end - LAST_DISPUTE:
            self._next_dispute += DISPUTES_EVERY
            self._dispute_one(now)

    def in_words(self) -> str:
        """Return how much was done so far."""
        return f"{len(self.done.refunds_asked)}, {len(self.done.disputes_opened)}"

    # --- actions --------------------------------------------------------------------------------

    def over_http(self, case: str, share: int = 1) -> Action:
        """Let another program refund a customer's payment, or one part in `share` of it."""

        def action(_now: datetime) -> bool:
            payment = self._payment_of(case)
            if payment is not None:
                self._refund_over_http(payment, share)
            return payment is not None

        return action

    def by_hand(self, case: str, share: int = 1) -> Action:
        """Let an operator refund a customer's payment; a worker sends it."""

        def action(now: datetime) -> bool:
            payment = self._payment_of(case)
            if payment is not None:
                self._refund_by_hand(payment, share, now)
            return payment is not None

        return action

    def dispute(self, case: str, outcome: str, *, inquiry: bool = False) -> Action:
        """Let a customer's bank dispute a payment, and decide some days later."""

        def action(now: datetime) -> bool:
            payment = self._payment_of(case)
            if payment is None or not self._may_be_disputed(payment):
                return False
            self._open_dispute(payment, outcome, now, inquiry=inquiry)
            return True

        return action

    def pay_at_provider(self, case: str) -> Action:
        """Let a customer whom we gave up pay at the provider after all."""

        def action(_now: datetime) -> bool:
            with self._runtime.engine.connect() as conn:
                given_up = conn.execute(_GIVEN_UP, {"reference": reference_of(case)}).one_or_none()
            if given_up is None:
                return False
            self._sandbox.pay(given_up.provider_payment_id, given_up.provider_customer_id)
            self._injected.paid_behind_our_back += 1
            return True

        return action

    def take_money(self, _now: datetime) -> bool:
        """Let somebody charge a card at the provider, under our account and without us."""
        self.done.taken.append(self._sandbox.take_money(STRANGE_AMOUNT, "USD"))
        return True

    # --- by lot ---------------------------------------------------------------------------------

    def _refund_some(self, now: datetime) -> None:
        candidates = self._untouched(now)
        chosen = self._rng.sample(candidates, min(self._refunds_a_time, len(candidates)))
        for payment in chosen:
            share = self._rng.choice((1, 2, 3))
            if self._rng.random() < 1 / 2:
                self._refund_over_http(payment, share)
            else:
                self._refund_by_hand(payment, share, now)

    def _dispute_one(self, now: datetime) -> None:
        candidates = [each for each in self._untouched(now) if self._may_be_disputed(each)]
        if candidates:
            payment = self._rng.choice(candidates)
            outcome = self._rng.choice(OUTCOMES[payment.provider])
            inquiry = outcome == "warning_closed"
            self._open_dispute(payment, outcome, now, inquiry=inquiry)

    def _may_be_disputed(self, payment: Capture) -> bool:
        """Tell whether a bank may dispute a payment: some providers have to have paid it out."""
        can = self._runtime.gateways.of(payment.provider).capabilities
        return not can.settles_within or payment.state is State.SETTLED

    def _untouched(self, now: datetime) -> Sequence[Capture]:
        with self._runtime.engine.connect() as conn:
            rows = conn.execute(_RECENT, {"since": now - timedelta(days=40)})
            return [found for row in rows if (found := _capture(row)).id not in self._touched]

    # --- the same for all -----------------------------------------------------------------------

    def _payment_of(self, case: str) -> Capture | None:
        with self._runtime.engine.connect() as conn:
            found = conn.execute(_FIRST_CAPTURE, {"reference": reference_of(case)}).one_or_none()
        return None if found is None else _capture(found)

    def _refund_over_http(self, payment: Capture, share: int) -> None:
        self._touched.add(payment.id)
        amount = None if share == 1 else _part(payment, share)
        refund_id = self.shop.refund(payment.id, amount, f"demo:{_name(payment)}:refund")
        self.done.refunds_asked.add(refund_id)

    def _refund_by_hand(self, payment: Capture, share: int, now: datetime) -> None:
        self._touched.add(payment.id)
        with self._runtime.engine.begin() as conn:
            asked = requesting.request(
                conn,
                payment.id,
                amount=None if share == 1 else Money(_part(payment, share), payment.currency),
                reason="the customer asked",
                actor=ACTOR,
                now=now,
                refund_id=uuid5(NAMESPACE_URL, f"demo:{_name(payment)}:refund"),
            )
        self.done.refunds_asked.add(asked.id)

    def _open_dispute(
        self, payment: Capture, outcome: str, now: datetime, *, inquiry: bool
    ) -> None:
        self._touched.add(payment.id)
        there = payment.provider == BRAINTREE
        if there:
            dispute = self._sandbox.charge_back(payment.provider_payment_id)
        else:
            dispute = self._sandbox.open_dispute(payment.provider_payment_id, inquiry=inquiry)
        self.done.disputes_opened.add(dispute)

        def decide(_now: datetime) -> bool:
            if there:
                self._sandbox.decide_chargeback(dispute, outcome)
            else:
                self._sandbox.decide_dispute(dispute, outcome)
            return True

        self._planned.append(PlannedAction(now + DECIDED_AFTER, decide))


def _timetable(money: DemoMoney, start: datetime, faults: bool) -> list[PlannedAction]:
    """Return what happens to the first customers; all of it fits into the first month."""
    actions: list[tuple[int, Action]] = [
        (2, money.over_http("refunded")),
        (2, money.dispute("won", "won")),
        (3, money.dispute("lost", "lost")),
        (3, money.over_http("refunded in part", share=2)),
        (4, money.by_hand("refund that fails")),
        (4, money.dispute("asked about", "warning_closed", inquiry=True)),
        (5, money.over_http("refund that waits", share=3)),
        (7, money.by_hand("in another currency", share=2)),
        (9, money.take_money),
        (2, money.by_hand("refunded later", share=2)),
        (3, money.dispute("charged back", "lost")),
        (3, money.dispute("charged back in vain", "won")),
    ]
    if faults:
        actions.append((6, money.pay_at_provider("given up")))
    return [PlannedAction(start + timedelta(days=day), action) for day, action in actions]


def _part(payment: Capture, share: int) -> int:
    """Return one part in `share` of what was captured, in steps that can be paid."""
    step = charge_step(payment.currency)
    return payment.amount_captured // share // step * step


def _name(payment: Capture) -> str:
    """Name a payment by its subscription and period: the same in every run of a seed."""
    return f"{payment.external_id}:{payment.n}"


# The captures of invoices, named so that a seed always means the same ones.
_CAPTURES: Final = """
    SELECT p.id, p.provider, p.state, p.amount_captured, p.currency, p.provider_payment_id,
           s.external_id, c.n
      FROM payments p
      JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = i.cycle_id
      JOIN subscriptions s ON s.id = p.subscription_id
     WHERE p.captured_at IS NOT NULL
"""
_FIRST_CAPTURE: Final = text(
    _CAPTURES + " AND s.external_id = :reference AND p.amount_refunded = 0 ORDER BY c.n LIMIT 1"
)
_RECENT: Final = text(
    _CAPTURES  # noqa: S608  our constant
    + """
       AND p.captured_at > :since AND p.state IN ('CAPTURED', 'SETTLED') AND p.amount_refunded = 0
       AND NOT EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id)
       AND NOT EXISTS (SELECT FROM credit_notes n WHERE n.invoice_id = i.id)
     ORDER BY s.external_id, c.n
    """
)
_GIVEN_UP: Final = text(
    """
    SELECT p.provider_payment_id, u.provider_customer_id
      FROM payments p
      JOIN subscriptions s ON s.id = p.subscription_id
      JOIN provider_customers u ON u.customer_id = p.customer_id AND u.provider = p.provider
     WHERE p.state = 'FAILED' AND p.provider_payment_id IS NOT NULL
       AND s.external_id = :reference
     ORDER BY p.id LIMIT 1
    """
)
