"""Braintree as a kind of provider. The SDK is loaded when an account is reached, not before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from billing.gateway import Gateway, ProviderEvent
from billing.gateway.braintree.declines import DECLINE_CLASSES
from billing.gateway.braintree.events import EVENT_KINDS
from billing.gateway.capabilities import Capabilities, PayoutBasis, Replay
from billing.gateway.provider_kind import Access, ProviderKind

# A day's money is shown once the bank has it, and its fees the day after.
MOVEMENTS_LAG: Final = timedelta(days=3)

# What isn't taken is delivered again every hour for a day, with the time that it had at first.
DELIVERIES_REPEATED: Final = timedelta(hours=24)

CAPABILITIES: Final = Capabilities(
    # Braintree keeps a key for 30 days; the rest is for our own delays.
    key_max_age=timedelta(days=29),
    replay=Replay.PRESENT_STATE,
    lists_events=False,
    lists_balance=False,
    lists_movements=True,
    movements_lag=MOVEMENTS_LAG,
    settles_within=timedelta(days=5),
    payout_basis=PayoutBasis.GROSS,
    holds_payment=False,
    minimum_amounts={},
)
FEES_FROM_PAYOUTS: Final = replace(CAPABILITIES, payout_basis=PayoutBasis.NET)

OPERATIONS: Final = frozenset({
    "attach_payment_method", "cancel", "capture", "check", "create_customer", "fee_report",
    "list_balance_transactions", "list_charges", "list_customers", "list_disputes",
    "list_payment_methods", "list_payouts", "list_refunds", "look_up", "look_up_refund",
    "merchant_accounts", "refund", "retrieve", "sale",
})  # fmt: skip


def connect(access: Access) -> Gateway:
    """Return the gateway of a Braintree account."""
    from billing.gateway.braintree.gateway import BraintreeGateway

    return BraintreeGateway(access)


def check_headers(headers: Mapping[str, str], *, wall: datetime, tolerance: timedelta) -> None:
    """Let a delivery through: its signature and its time are in its body."""


def read_delivery(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    wall: datetime,
    tolerance: timedelta,
    live: bool,
) -> ProviderEvent:
    """Return the event of a delivery, once its signature is believed.

    Each secret is a public and a private key, joined by a colon. No field says whether the event is
    live: the keys of the two environments differ.
    """
    from billing.gateway.braintree.delivery import verify

    return verify(body, secrets, wall=wall, tolerance=DELIVERIES_REPEATED + tolerance)


def answer_challenge(query: Mapping[str, str], secrets: Sequence[str]) -> str | None:
    """Return the answer to a challenge, which proves that we have the keys; None where it is none.

    The control panel asks an endpoint so when it is added.
    """
    from billing.gateway.braintree.delivery import answer_to

    challenge = query.get("bt_challenge")
    return None if challenge is None else answer_to(challenge, secrets)


BRAINTREE: Final = ProviderKind(
    capabilities=CAPABILITIES,
    decline_codes=DECLINE_CLASSES,
    operations=OPERATIONS,
    event_types=frozenset(EVENT_KINDS),
    connect=connect,
    check_headers=check_headers,
    read_delivery=read_delivery,
    delivery_type="application/x-www-form-urlencoded",
    repeats_for=DELIVERIES_REPEATED,
    answer_challenge=answer_challenge,
)
