"""What goes on while billing goes by: shops sell, customers and banks want their money back.

Every payment has one story, told from its beginning to its end by one thread, so that nobody asks
for more than there is; across payments everything happens at once. Some of it the engine is asked
for, some happens at the provider, and the engine hears of it only if a webhook or a sweep tells.
"""

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import text

from billing.flows.customers import customers
from tests.delivery.engine_under_test import EngineUnderTest, patiently
from tests.delivery.provider_side import Json, ProviderSide
from tests.delivery.shop import Shop

SHOPPERS: Final = (
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
    "pm_sbx_refund_pending_then_fail",
    "pm_card_chargeCustomerFail",
    "pm_card_createDispute",
    "pm_card_createDisputeInquiry",
)
CURRENCIES: Final = ("USD", "USD", "EUR", "JPY", "KWD")
OPEN_DISPUTES: Final = ("needs_response", "warning_needs_response")


def let_shoppers_in(engine: EngineUnderTest) -> None:
    """Make the customers who buy without a subscription, one for each kind of card."""
    runtime = engine.runtime
    for number, card in enumerate(SHOPPERS):
        customers.create(
            runtime.context,
            name=f"Shopper {number}",
            external_id=f"shopper-{number}",
            payment_method=card,
        )


class Taken:
    """Payments whose story is being told, or was: nobody begins another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    def first(self, payment_id: str) -> bool:
        """Take a payment, and tell whether nobody had it."""
        with self._lock:
            fresh = payment_id not in self._ids
            self._ids.add(payment_id)
            return fresh


class Salesman:
    """Sells, and does what comes of it, one story after the other."""

    def __init__(self, engine: EngineUnderTest, shop: Shop, taken: Taken) -> None:
        self._engine = engine
        self._shop = shop
        self._rng = shop.rng
        self._taken = taken
        self._provider = ProviderSide(engine.sandbox.url)

    def work(self, over: threading.Event) -> None:
        """Tell stories until it is over."""
        stories = (self._sale, self._sale, self._hold, self._look_at_renewal, self._new_card)
        while not over.is_set():
            self._rng.choice(stories)()
            over.wait(self._rng.uniform(0.02, 0.3))

    # --- selling --------------------------------------------------------------------------------

    def _sale(self) -> None:
        told = self._shop.charge(self._order())
        if told.status == 201 and self._taken.first(told.payment["id"]):
            self._what_follows(told.payment)

    def _hold(self) -> None:
        """Authorise first; what is neither captured nor voided expires."""
        told = self._shop.charge(self._order(capture="manual"))
        if told.status != 201 or not self._taken.first(told.payment["id"]):
            return
        path = f"/v1/payments/{told.payment['id']}"
        then = self._rng.choice(("capture", "capture a part", "void", "nothing"))
        if then == "void":
            self._shop.post(f"{path}/void", {"reason": "out of stock"})
        elif then != "nothing":
            part = {"amount": self._part_of(told.payment)} if then == "capture a part" else {}
            captured = self._shop.post(f"{path}/capture", part)
            if captured.status == 200:
                self._what_follows(captured.payment)

    def _order(self, **more: str) -> Mapping[str, Any]:
        return {
            "amount": self._rng.randrange(1_000, 90_000, 100),
            "currency": self._rng.choice(CURRENCIES),
            "customer": f"shopper-{self._rng.randrange(len(SHOPPERS))}",
            "description": "a poster",
            **more,
        }

    def _look_at_renewal(self) -> None:
        state = self._rng.choice(("CAPTURED", "SETTLED"))
        found = self._shop.found("/v1/payments", state=state, limit="100")
        of_renewals = [payment for payment in found if payment["subscription_id"]]
        if of_renewals:
            payment = self._rng.choice(of_renewals)
            if self._taken.first(payment["id"]):
                self._what_follows(payment)

    def _new_card(self) -> None:
        """Bring a card for a subscription that waits for one: to us, or only to the provider."""
        late = self._shop.found("/v1/subscriptions", status="past_due", limit="100")
        if not late:
            return
        customer = self._rng.choice(late)["customer_id"]
        if self._rng.random() < 0.5:
            card = {"payment_method": "pm_card_visa"}
            self._shop.post(f"/v1/customers/{customer}/payment-methods", card)
        else:
            there = self._told("SELECT provider_customer_id FROM provider_customers", customer)
            self._provider.make("payment_methods/pm_card_visa/attach", customer=there)

    # --- what comes of a payment ----------------------------------------------------------------

    def _what_follows(self, payment: Json) -> None:
        """Let something happen to a captured payment, or nothing."""
        follows: tuple[Callable[[Json], None], ...] = (
            self._nothing,
            self._refund_whole,
            self._refund_in_parts,
            self._refund_by_hand,
            self._dispute,
            self._inquiry,
            self._refund_and_dispute,
            self._refund_at_both_ends,
            self._dispute_and_refund,
        )
        self._rng.choice(follows)(payment)

    def _nothing(self, _: Json) -> None:
        pass

    def _refund_whole(self, payment: Json) -> None:
        self._shop.post(f"/v1/payments/{payment['id']}/refunds", {"reason": "torn"})

    def _refund_in_parts(self, payment: Json) -> None:
        for _ in range(self._rng.randint(1, 3)):
            part = {"amount": self._part_of(payment), "reason": "late"}
            self._shop.post(f"/v1/payments/{payment['id']}/refunds", part)

    def _refund_by_hand(self, payment: Json) -> None:
        """Refund it in the provider's dashboard, some of it or all."""
        intent = self._intent(payment)
        charged = self._provider.show(f"payment_intents/{intent}")["amount_received"]
        part = {"amount": str(charged // 200 * 100)} if self._rng.random() < 0.5 else {}
        self._provider.make("refunds", payment_intent=intent, **part)

    def _dispute(self, payment: Json) -> None:
        self._provider.control("disputes", payment_intent=self._intent(payment))

    def _inquiry(self, payment: Json) -> None:
        self._provider.control("disputes", payment_intent=self._intent(payment), inquiry=True)

    def _refund_and_dispute(self, payment: Json) -> None:
        """Give a part back; the bank of the cardholder takes the rest."""
        self._refund_in_parts(payment)
        self._dispute(payment)

    def _refund_at_both_ends(self, payment: Json) -> None:
        """The shop gives back what was given back by hand, before anybody told it."""
        self._provider.make("refunds", payment_intent=self._intent(payment))
        self._refund_whole(payment)

    def _dispute_and_refund(self, payment: Json) -> None:
        """The shop gives back what the bank has taken already."""
        self._dispute(payment)
        self._refund_whole(payment)

    def _part_of(self, payment: Json) -> int:
        """Return a part that every currency can be paid in: a tenth to a third, in hundreds."""
        amount = int(payment["amount"] if "amount" in payment else payment["amount_cents"])
        return max(100, amount // self._rng.randint(3, 10) // 100 * 100)

    def _intent(self, payment: Json) -> str:
        return self._told("SELECT provider_payment_id FROM payments", payment["id"])

    def _told(self, query: str, row_id: str) -> str:
        def ask() -> str:
            with self._engine.runtime.engine.connect() as conn:
                found = conn.execute(text(f"{query} WHERE id = :id"), {"id": row_id})
                return str(found.scalar_one())

        return patiently(ask)


class Bank:
    """Decides disputes, and pays out what the provider holds; some payouts fail."""

    def __init__(self, engine: EngineUnderTest, seed: int) -> None:
        self._rng = random.Random(seed)
        self._provider = ProviderSide(engine.sandbox.url)

    def work(self, over: threading.Event) -> None:
        """Work until it is over."""
        while not over.wait(0.5):
            for dispute in self._provider.all("disputes"):
                if dispute["status"] in OPEN_DISPUTES and self._rng.random() < 0.2:
                    self._decide(dispute)
            if self._rng.random() < 0.3:
                self._pay_out()

    def _decide(self, dispute: Json) -> None:
        asked = dispute["status"].startswith("warning")
        outcome = self._rng.choice(("warning_closed", "escalated") if asked else ("won", "lost"))
        self._provider.control(f"disputes/{dispute['id']}", outcome=outcome)

    def _pay_out(self) -> None:
        currency = self._rng.choice(("usd", "eur", "kwd"))
        made = self._provider.control("payouts", currency=currency)
        if made is not None and self._rng.random() < 0.3:
            self._provider.control(f"payouts/{made['id']}", status="failed")
