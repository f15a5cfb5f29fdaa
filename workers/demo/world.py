"""The demo's customers, their subscriptions, and the faults."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import redis
from sqlalchemy import text

from billing.config import BraintreeSettings
from billing.errors import BillingError
from billing.flows.context import StoppedClock
from billing.flows.customers import customers
from billing.flows.customers.tax_facts import TaxFactsOrder, set_facts
from billing.flows.subscriptions.subscribing import SubscriptionOrder, subscribe
from billing.plans.catalogs import Catalog
from billing.plans.terms import version_for_new
from billing.rules.actor import Actor, ActorKind
from billing.workers.demo.sandbox import SandboxControl
from billing.workers.runtime.broker import enqueue
from billing.workers.runtime.runtime import Runtime

ZONES: Final = (
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Tokyo",
    "Asia/Kuwait",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "UTC",
)
# (token, weight): most cards work; every class of decline is met.
CARDS: Final = (
    ("pm_card_visa", 44),
    ("pm_card_mastercard", 18),
    ("pm_sbx_ok_2_then_decline_1_then_ok", 6),
    ("pm_sbx_ok_1_then_insufficient_2_then_ok", 6),
    ("pm_sbx_decline_3_then_ok", 3),
    ("pm_sbx_ok_4_then_insufficient_funds", 3),
    ("pm_sbx_ok_2_then_do_not_honor", 2),
    ("pm_sbx_ok_1_then_processing_error_1_then_ok", 3),
    ("pm_sbx_ok_3_then_expired", 4),
    ("pm_sbx_ok_2_then_lost_card", 2),
    ("pm_sbx_ok_5_then_stolen_card", 1),
    ("pm_sbx_ok_1_then_authentication_required", 3),
    ("pm_sbx_ok_2_then_confirm_card_data", 2),
    ("pm_sbx_ok_1_then_do_not_try_again", 1),
    ("pm_card_chargeCustomerFail", 2),
)
# PayPal accounts at Stripe, for customers who pay in a currency that they take.
WALLETS: Final = (
    ("pm_sbx_paypal", 14),
    ("pm_sbx_paypal_ok_2_then_insufficient_1_then_ok", 2),
    ("pm_sbx_paypal_ok_3_then_mandate_revoked", 2),
    ("pm_sbx_paypal_ok_4_then_declined", 1),
)
WALLET_CURRENCIES: Final = frozenset({"EUR", "GBP", "USD"})

# One in so many customers by lot pays at the other provider, where it takes their currency.
STRIPE: Final = "stripe"
BRAINTREE: Final = "braintree"
BRAINTREE_BY_LOT: Final = 6
# (nonce, weight): cards and PayPal accounts there.
NONCES: Final = (
    ("fake-valid-visa-nonce", 30),
    ("fake-valid-mastercard-nonce", 12),
    ("fake-paypal-billing-agreement-nonce", 24),
    ("sbx_card_ok_2_then_decline_1_then_ok", 6),
    ("sbx_card_ok_1_then_insufficient_2_then_ok", 6),
    ("sbx_card_ok_3_then_expired", 4),
    ("sbx_card_ok_2_then_stolen_card", 2),
    ("sbx_card_ok_1_then_authentication_required", 2),
    ("sbx_card_ok_1_then_gateway_risk_1_then_ok", 2),
    ("sbx_paypal_ok_2_then_decline_1_then_ok", 6),
    ("sbx_paypal_ok_3_then_revoked", 3),
    ("sbx_paypal_decline_2_then_ok", 3),
)

CAST_PLAN: Final = "video-premium"
YEARLY: Final = "video-yearly"
OFFICE: Final = "office-team"
FREE: Final = "search-free"
TEAM: Final = "search-team"
BUSINESS: Final = "search-business"
MAPS: Final = "maps"
DATA_API: Final = "data-api"
SSO: Final = "single-sign-on"
COUPON_AT_START: Final = "winter"
COUPON_LATER: Final = "thanks"
# The plans of customers by lot: all but these.
NOT_BY_LOT: Final = frozenset({FREE, BUSINESS, MAPS, DATA_API})
COUPONS_BY_LOT: Final = 10
NEW_CARDS: Final = {STRIPE: "pm_card_visa", BRAINTREE: "fake-valid-visa-nonce"}


@dataclass(frozen=True, slots=True)
class Case:
    """A customer with an action of the demo: billed by the month from the first day.

    `card` is one of the account `provider`. Most are outside the EU, so that nothing is levied.
    """

    card: str | None = "pm_card_visa"
    currency: str = "USD"
    plan: str = CAST_PLAN
    items: Mapping[str, int] = field(default_factory=dict)
    coupons: tuple[str, ...] = ()
    provider: str = STRIPE
    country: str = "US"
    vat_id: str | None = None


# The first customers, in this order; `money.py`, `sales.py` and `usage.py` act on them.
CASES: Final[Mapping[str, Case]] = {
    "refunded": Case(),
    "won": Case(),
    "given up": Case("pm_sbx_stolen_card"),
    "refund that fails": Case("pm_card_refundFail"),
    "in another currency": Case(currency="JPY"),
    "lost": Case(currency="EUR"),
    "asked about": Case("pm_sbx_paypal", "EUR"),
    "refunded in part": Case(currency="KWD"),
    "refund that waits": Case("pm_card_pendingRefund", "EUR"),
    "free": Case(None, plan=FREE),
    "free for a week": Case("pm_sbx_paypal", "EUR", FREE),
    "items": Case(plan=TEAM, items={"seats": 12, SSO: 1}, coupons=(COUPON_AT_START,)),
    "goodwill": Case(currency="EUR", plan=TEAM),
    "more seats": Case(plan=TEAM, items={"seats": 4}),
    "fewer seats": Case(plan=TEAM, items={"seats": 12, SSO: 1}),
    "another plan": Case(plan=TEAM, items={"seats": 6, SSO: 1}, coupons=(COUPON_AT_START,)),
    "note to credit": Case(currency="JPY", plan=TEAM, items={"seats": 11}),
    "note to the card": Case(plan=TEAM, coupons=(COUPON_AT_START,)),
    "note that comes back": Case("pm_card_refundFail", plan=TEAM),
    "refunded later": Case("fake-valid-visa-nonce", provider=BRAINTREE),
    "charged back": Case("fake-paypal-billing-agreement-nonce", "EUR", provider=BRAINTREE),
    "charged back in vain": Case("fake-valid-visa-nonce", "GBP", OFFICE, provider=BRAINTREE),
    "taxed on top": Case(currency="EUR", country="DE"),
    "taxed in the price": Case(currency="EUR", plan=MAPS, country="DE"),
    "reverse charge": Case(currency="EUR", country="IT", vat_id="IT00743110157"),
    "by the year": Case(),
    "another day": Case("pm_sbx_paypal", "EUR"),
    "credit bought": Case(currency="EUR", plan=TEAM),
    "credit bought elsewhere": Case("fake-valid-visa-nonce", "EUR", provider=BRAINTREE),
    "invoiced by hand": Case(plan=TEAM),
    "metered": Case(plan=DATA_API),
    "metered, by wallet": Case("pm_sbx_paypal", "EUR", DATA_API),
    "metered, declined": Case("pm_sbx_ok_1_then_insufficient_2_then_ok", plan=DATA_API),
}

_TRANSACTIONS: Final = f"/merchants/{BraintreeSettings.SANDBOX['merchant_id']}/transactions"
# Charges and refunds, of both providers.
FAULTY: Final = (
    "/v1/payment_intents",
    "/v1/refunds",
    f"{_TRANSACTIONS}$",
    f"{_TRANSACTIONS}/*/refund$",
)
# Per request, while the year runs. A hang is cut off by the gateway's deadline.
FAULTS: Final = (
    ("reset_after_commit", 0.03),
    ("truncated_body", 0.02),
    ("garbage_200", 0.01),
    ("error_500", 0.01),
    ("error_500_uncommitted", 0.01),
    ("reset_before", 0.01),
    ("rate_limit_429", 0.01),
    ("conflict_409", 0.005),
    ("hang_after_commit", 0.001),
)


@dataclass
class InjectedFaults:
    """Counts the faults that the demo made; the sandbox counts its own."""

    duplicated_messages: int = 0
    redis_flushed: int = 0
    workers_killed: int = 0
    paid_behind_our_back: int = 0


def reference(number: int) -> str:
    """Return what the demo calls a customer and their subscription."""
    return f"demo-{number:05d}"


def reference_of(case: str) -> str:
    """Return the reference of a customer of `CASES`, who may not be there in a tiny demo."""
    return reference(1 + list(CASES).index(case))


def populate(
    runtime: Runtime, catalog: Catalog, count: int, start: datetime, rng: random.Random
) -> int:
    """Create customers and subscriptions: those of `CASES`, then random ones.

    Return how many coupons they redeem.
    """
    redeemed = 0
    cases = list(CASES.values())
    at_start = replace(runtime.context, clock=StoppedClock(start, runtime.clock.wall()))
    for number in range(1, count + 1):
        case = cases[number - 1] if number <= len(cases) else None
        if case is not None:
            card, order, provider = case.card, _order_of(number, case, start), case.provider
        else:
            order = _order_by_lot(catalog, number, start, rng)
            provider = _provider_by_lot(number, order.currency)
            card = _card_by_lot(order.currency, provider, rng)
        customers.create(
            at_start,
            name=f"Customer {number}",
            external_id=order.customer,
            payment_method=card,
            provider=provider,
        )
        _place(runtime, order.customer, case or Case(), start)
        subscribe(runtime.engine, order, now=start, actor=Actor(ActorKind.DEMO))
        redeemed += len(order.coupons)
    return redeemed


def _place(runtime: Runtime, customer: str, case: Case, start: datetime) -> None:
    """Say where a customer is taxed."""
    known = TaxFactsOrder(customer, case.country, vat_id=case.vat_id)
    with runtime.engine.begin() as conn:
        set_facts(conn, known, now=start, actor=Actor(ActorKind.DEMO))


def _order_of(number: int, case: Case, start: datetime) -> SubscriptionOrder:
    return SubscriptionOrder(
        customer=reference(number),
        plan=case.plan,
        currency=case.currency,
        items=case.items,
        coupons=case.coupons,
        quantity=1,
        zone="UTC",
        starts=start.replace(tzinfo=None) + timedelta(hours=number),
        external_id=reference(number),
    )


def _provider_by_lot(number: int, currency: str) -> str:
    there = number % BRAINTREE_BY_LOT == 0 and currency in WALLET_CURRENCIES
    return BRAINTREE if there else STRIPE


def _choice(currency: str, provider: str) -> tuple[tuple[str, int], ...]:
    if provider == BRAINTREE:
        return NONCES
    return CARDS + WALLETS if currency in WALLET_CURRENCIES else CARDS


def _card_by_lot(currency: str, provider: str, rng: random.Random) -> str:
    tokens, weights = zip(*_choice(currency, provider), strict=True)
    return str(rng.choices(tokens, weights)[0])


def _order_by_lot(
    catalog: Catalog, number: int, start: datetime, rng: random.Random
) -> SubscriptionOrder:
    """Order one of almost all plans, currencies and zones; every tenth redeems a coupon.

    They start at any minute of the first 28 days, some of them on the 31st of January.
    """
    sold = [plan for plan in catalog.plans.values() if plan.code not in NOT_BY_LOT]
    plans = sorted(sold, key=lambda plan: plan.code)
    plan = plans[number % len(plans)]
    starts = start.replace(tzinfo=None) + timedelta(minutes=rng.randrange(28 * 24 * 60))
    if number % 9 == 0:
        starts = starts.replace(month=1, day=31)
    currencies = version_for_new(plan.versions, starts.date()).currencies
    return SubscriptionOrder(
        customer=reference(number),
        plan=plan.code,
        currency=rng.choice(sorted(currencies)),
        quantity=rng.choice((1, 1, 1, 2, 5)) if plan.code.startswith("office") else 1,
        zone=rng.choice(ZONES),
        starts=starts,
        external_id=reference(number),
        items={"seats": rng.randint(1, 25)} if plan.code == TEAM else {},
        coupons=(COUPON_AT_START,) if number % COUPONS_BY_LOT == 0 else (),
    )


def order_faults(control: SandboxControl, seed: int) -> None:
    """Let the provider lose answers and fail, by lot, for charges and refunds from now on."""
    for path in FAULTY:
        for kind, probability in FAULTS:
            control.fault(
                kind=kind,
                probability=probability,
                seed=seed,
                match={"method": "POST", "path": path},
            )


_RECENT_PAYMENTS = text("SELECT id FROM payments ORDER BY id DESC LIMIT 200")


def double_messages(runtime: Runtime, rng: random.Random, done: InjectedFaults) -> None:
    """Ring again for payments that are in work or done already."""
    with runtime.engine.connect() as conn:
        recent: Sequence[UUID] = [row.id for row in conn.execute(_RECENT_PAYMENTS)]
    for payment_id in rng.sample(recent, min(2, len(recent))):
        try:
            enqueue(runtime.broker, payment_id)
        except redis.RedisError:
            return
        done.duplicated_messages += 1


def flush_redis(runtime: Runtime, done: InjectedFaults) -> None:
    """Empty Redis."""
    runtime.broker.client.flushall()
    done.redis_flushed += 1


_CARD_TO_CHANGE = text(
    """
    SELECT DISTINCT p.customer_id, p.provider FROM payments p
     WHERE p.state = 'CREATED' AND p.decline_class = 'needs_customer' AND p.parked_at IS NULL
       AND p.updated_at < :before
     ORDER BY p.customer_id LIMIT 3
    """
)


def change_some_cards(runtime: Runtime, now: datetime, rng: random.Random) -> None:
    """Let two of three customers who were asked for a new card bring one after some days."""
    with runtime.engine.connect() as conn:
        asked = conn.execute(_CARD_TO_CHANGE, {"before": now - timedelta(days=4)}).all()
    today = replace(runtime.context, clock=StoppedClock(now, runtime.clock.wall()))
    for row in asked:
        if rng.random() < 2 / 3:
            try:
                card = NEW_CARDS[row.provider]
                customers.set_payment_method(
                    today, str(row.customer_id), card, provider=row.provider
                )
            except BillingError:
                continue  # the provider had a fault; they try again another day
