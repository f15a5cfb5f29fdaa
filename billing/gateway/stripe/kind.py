"""Stripe as a kind of provider. The SDK is loaded when an account is reached, not before."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from billing.gateway import Gateway, ProviderEvent
from billing.gateway.capabilities import Capabilities, Replay
from billing.gateway.errors import SignatureRefused
from billing.gateway.provider_kind import Access, ProviderKind
from billing.gateway.stripe import reports
from billing.gateway.stripe.declines import DECLINE_CLASSES
from billing.gateway.stripe.events import EVENT_KINDS

# What Stripe refuses to charge less than, in minor units, where accounts settle in the currency.
MINIMUM_AMOUNTS: Final[Mapping[str, int]] = {
    "AUD": 50, "CAD": 50, "CHF": 50, "DKK": 250, "EUR": 50, "GBP": 30,
    "JPY": 50, "NOK": 300, "NZD": 50, "SEK": 300, "USD": 50,
}  # fmt: skip

CAPABILITIES: Final = Capabilities(
    # Stripe may remove a key once it is at least 24 hours old; the rest is for our own delays.
    key_max_age=timedelta(hours=23),
    replay=Replay.FIRST_ANSWER,
    lists_events=True,
    lists_balance=True,
    lists_movements=True,
    holds_payment=True,
    minimum_amounts=MINIMUM_AMOUNTS,
    computes_taxes=True,
)

OPERATIONS: Final = frozenset({
    "attach_payment_method", "balance", "cancel", "capture", "check", "compute_taxes", "confirm",
    "create_and_confirm", "create_customer", "list_balance_transactions", "list_charges",
    "list_customers", "list_disputes", "list_events", "list_payment_methods", "list_payouts",
    "list_refunds", "list_tax_lines", "look_up", "look_up_refund", "record_taxes", "refund",
    "retrieve", "reverse_taxes",
})  # fmt: skip


def connect(access: Access) -> Gateway:
    """Return the gateway of a Stripe account."""
    from billing.gateway.stripe.gateway import StripeGateway

    return StripeGateway(
        access.credentials["api_key"],
        api_base=access.api_base,
        connect_timeout=access.connect_timeout.total_seconds(),
        read_timeout=access.read_timeout.total_seconds(),
        deadline=access.deadline.total_seconds(),
        bucket=access.bucket,
        observe=access.observe,
    )


def check_headers(headers: Mapping[str, str], *, wall: datetime, tolerance: timedelta) -> None:
    """Check that a delivery has one signature, of a form and a time that may be genuine."""
    from billing.gateway.stripe.signatures import check_header

    check_header(_signature(headers), wall=wall, tolerance=tolerance)


def read_delivery(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    wall: datetime,
    tolerance: timedelta,
    live: bool,
) -> ProviderEvent:
    """Return the event of a delivery, once signature and envelope are believed."""
    from billing.gateway.stripe.envelope import check_envelope
    from billing.gateway.stripe.signatures import verify

    event = verify(body, _signature(headers), secrets, wall=wall, tolerance=tolerance)
    check_envelope(body, live=live)
    return event


def _signature(headers: Mapping[str, str]) -> str:
    header = headers.get("stripe-signature")
    if header is None:
        raise SignatureRefused("missing", "it is not signed")
    return header


STRIPE: Final = ProviderKind(
    capabilities=CAPABILITIES,
    decline_codes=DECLINE_CLASSES,
    operations=OPERATIONS,
    event_types=frozenset(EVENT_KINDS),
    connect=connect,
    check_headers=check_headers,
    read_delivery=read_delivery,
    reports=reports,
)
