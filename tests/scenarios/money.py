"""What stories about money after its capture have in common: refunds, disputes, revenue."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from billing.flows.disputes import dispute_updates
from billing.flows.disputes.dispute_updates import Applied
from billing.flows.refunds import refund_updates, requesting
from billing.gateway import ProviderDispute
from billing.ids import new_id
from billing.ledger.accounts import AccountCode
from billing.rules.actor import Actor, ActorKind
from billing.rules.money import Money
from billing.rules.refunds import RefundState
from billing.store.dispatch import NOT_HELD
from billing.store.journal import reads
from billing.store.payments import disputes, payments, recognition, refunds
from billing.store.payments.disputes import Dispute
from billing.store.payments.payments import Payment
from billing.store.payments.provider_calls import ProviderCall
from billing.store.payments.refunds import Refund
from tests import provider_calls
from tests.scenarios.world import Subscriber, World
from tests.waiting import PATIENCE


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def paid(world: World, plan: str = "monthly", **order: Any) -> Subscriber:
    """Return a subscriber who paid for a period: 31.00 USD for January, where nothing is named."""
    world.publish(NO_TRIAL)
    subscriber = world.subscribed(plan, **order)
    world.settle()
    assert world.payment(subscriber).state == "CAPTURED"
    return subscriber


NO_TRIAL = """
product = "Stories"

[[plan]]
code = "monthly"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "31.00", JPY = "3100" }

[[plan]]
code = "yearly"
every = "1 year"

  [[plan.version]]
  effective = 2026-01-01
  price = { USD = "365.00" }
"""

# --- refunds ------------------------------------------------------------------------------------


def give_back(world: World, payment_id: UUID, amount: Money | None = None, **more: Any) -> UUID:
    """Ask for a refund, as an operator does; nobody has sent it yet."""
    with world.engine.begin() as conn:
        row = requesting.request(
            conn,
            payment_id,
            amount=amount,
            reason="the customer asked",
            actor=Actor(ActorKind.CLI, "operator"),
            now=world.now,
            **more,
        )
    found: UUID = row.id
    return found


def refund_row(world: World, refund_id: UUID) -> Refund:
    with world.engine.connect() as conn:
        row = refunds.get(conn, refund_id)
    assert row is not None
    return row


def calls_of(world: World, refund_id: UUID) -> Sequence[ProviderCall]:
    """Return the calls that asked the provider for a refund, in order."""
    with world.engine.connect() as conn:
        return provider_calls.of_subject(conn, refund_id)


def last_call(world: World, refund_id: UUID) -> ProviderCall:
    """Return the call that asked the provider for a refund last."""
    return calls_of(world, refund_id)[-1]


def refund_state(world: World, refund_id: UUID) -> str:
    return str(refund_row(world, refund_id).state)


def payment_row(world: World, payment_id: UUID) -> Payment:
    with world.engine.connect() as conn:
        row = payments.get(conn, payment_id)
    assert row is not None
    return row


def apply_events_of_refund(world: World, provider_refund_id: str | None) -> RefundState | None:
    """Do what a webhook about a refund leads to: fetch it, and apply it."""
    assert provider_refund_id is not None
    found = world.gateway.refund_by_id(provider_refund_id)
    assert found is not None
    with world.engine.begin() as conn:
        return refund_updates.apply(conn, found, provider=world.provider, now=world.now)


def settings(world: World, **wanted: Any) -> None:
    """Change how the provider behaves."""
    world.psp._control("POST", "settings", **wanted)


def fail_at_provider(world: World, refund_id: UUID, reason: str = "declined") -> None:
    """Let a refund fail at the provider, after it succeeded there or before."""
    provider_id = refund_row(world, refund_id).provider_refund_id
    world.psp._control("POST", f"refunds/{provider_id}", status="failed", failure_reason=reason)


def at_provider(world: World, payment_id: UUID) -> list[dict[str, Any]]:
    """Return a payment's refunds in the provider's own books."""
    intent = payment_row(world, payment_id).provider_payment_id
    url = f"{world.psp._url}/v1/refunds"
    answer = world.psp._http.get(
        url, params={"payment_intent": intent, "limit": "100"}, timeout=PATIENCE
    )
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


# --- disputes -----------------------------------------------------------------------------------


def open_dispute(world: World, payment_id: UUID, **wanted: Any) -> str:
    """Let the cardholder's bank dispute a payment, and return the provider's id of that."""
    intent = payment_row(world, payment_id).provider_payment_id
    answer = world.psp._control("POST", "disputes", payment_intent=intent, **wanted)
    return str(answer["id"])


def decide(world: World, provider_dispute_id: str, outcome: str) -> None:
    world.psp._control("POST", f"disputes/{provider_dispute_id}", outcome=outcome)


def fetch_dispute(world: World, provider_dispute_id: str) -> ProviderDispute:
    found = world.gateway.dispute_by_id(provider_dispute_id)
    assert found is not None
    return found


def apply_dispute(world: World, found: ProviderDispute) -> Applied:
    with world.engine.begin() as conn:
        return dispute_updates.apply(conn, found, provider=world.provider, now=world.now)


def apply_events_of_dispute(world: World, provider_dispute_id: str) -> Applied:
    """Do what a webhook about a dispute leads to: fetch it, and apply it."""
    return apply_dispute(world, fetch_dispute(world, provider_dispute_id))


def dispute_row(world: World, applied: Applied) -> Dispute:
    with world.engine.connect() as conn:
        row = disputes.get(conn, applied.dispute_id)
    assert row is not None
    return row


# --- charges without an invoice -----------------------------------------------------------------


def one_off(
    world: World,
    amount: Money,
    card: str = "pm_card_visa",
    *,
    capture_method: str = "automatic",
    of: Subscriber | None = None,
    provider: str | None = None,
) -> UUID:
    """Ask for a charge without an invoice, of a new customer or one; nobody has sent it yet."""
    customer_id = world.customer(card, provider)[0] if of is None else of.customer_id
    payment_id = new_id()
    with world.engine.begin() as conn:
        method = conn.execute(
            text("SELECT payment_method_id AS id FROM provider_customers WHERE id = :id"),
            {"id": customer_id},
        ).scalar_one()
        payments.add(
            conn,
            [
                {
                    "id": payment_id,
                    "customer_id": customer_id,
                    "payment_method_id": method,
                    "amount": amount.amount,
                    "currency": amount.currency,
                    "state": "CREATED",
                    "capture_method": capture_method,
                    "description": "A set of strings",
                    "next_attempt_at": world.now,
                    "next_attempt_kind": "first",
                    "dispatch_after": NOT_HELD,
                    "created_at": world.now,
                    "updated_at": world.now,
                }
            ],
        )
    return payment_id


# --- the books ----------------------------------------------------------------------------------


def balances(world: World, currency: str = "USD") -> dict[str, int]:
    """Return what every account holds, debit positive; accounts at zero are left out."""
    with world.engine.connect() as conn:
        return {
            row.code: row.balance
            for row in reads.trial_balance(conn)
            if row.currency == currency and row.balance
        }


def balance(world: World, code: AccountCode, currency: str = "USD") -> int:
    return balances(world, currency).get(str(code), 0)


def recognised(world: World, subscriber: Subscriber, n: int = -1) -> list[tuple[str, int]]:
    """Return what was earned of an invoice: up to which day, and how much."""
    invoice = world.invoices(subscriber)[n]
    with world.engine.connect() as conn:
        rows = recognition.of_invoice(conn, invoice.id)
    return [(f"{row.through:%Y-%m-%d}", row.amount) for row in rows]
