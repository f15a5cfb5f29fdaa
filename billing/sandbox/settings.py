"""What the control API can set: fees, when money shows up, how it settles and is paid out.

Amounts are minor units, times are seconds of the sandbox's clock. Settings survive a restart.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from billing.sandbox.exchange import check_rates, check_settlement, settlement_of
from billing.sandbox.store import Store

_NAME = "settings"
REFUNDS = ("succeed", "pending", "fail", "pending_then_fail")
SCHEDULES = ("manual", "daily")
VAT_STANDINGS = ("valid", "invalid", "unavailable")


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The sandbox's settings; the defaults are Stripe's card fee in the United States."""

    fee_basis_points: int = 290
    fee_fixed: int = 30
    available_after_seconds: int = 2 * 86_400
    # automatic_async captures: how long `balance_transaction` stays null.
    async_capture_seconds: int = 0
    authorization_seconds: int = 7 * 86_400
    # What refunds of cards without a behaviour of their own do, and when.
    refunds: str = "succeed"
    refund_delay_seconds: int = 60
    dispute_fee: int = 1_500
    # Stripe keeps the fee for receiving a dispute, whoever wins it.
    dispute_fee_returned: bool = False
    payout_schedule: str = "manual"
    payout_submitted_after_seconds: int = 3_600
    payout_arrives_after_seconds: int = 2 * 86_400
    settlement_currency: dict[str, str] = field(default_factory=dict)
    exchange_rates: dict[str, str] = field(default_factory=dict)
    vat_ids: dict[str, str] = field(default_factory=dict)
    # The country from which the seller's taxes are computed.
    tax_origin: str = "US"

    def fee(self, amount: int) -> int:
        """Return the fee for a captured amount, half up, never more than the amount."""
        return min(amount, (amount * self.fee_basis_points + 5_000) // 10_000 + self.fee_fixed)

    def changed(self, changes: dict[str, Any]) -> "SandboxSettings":
        """Return these settings with some replaced. Raises: ValueError."""
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"unknown setting {name!r}")
            _CHECKS.get(name, _check_whole)(name, value)
        made = SandboxSettings(**{**asdict(self), **changes})
        made._check_pairs()
        return made

    def _check_pairs(self) -> None:
        for source, target in self.settlement_currency.items():
            if source != target and f"{source}:{target}" not in self.exchange_rates:
                raise ValueError(f"set exchange_rates for {source}:{target} as well")

    def settles_in(self, code: str) -> str:
        """Return the currency that charges in `code` settle in."""
        return settlement_of(self.settlement_currency, code)


def _check_whole(name: str, value: Any) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")


def _check_flag(name: str, value: Any) -> None:
    if type(value) is not bool:
        raise ValueError(f"{name} is true or false")


def _one_of(allowed: tuple[str, ...]) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value not in allowed:
            raise ValueError(f"{name} is one of {', '.join(allowed)}")

    return check


def _texts(check: Callable[[dict[str, str]], None]) -> Callable[[str, Any], None]:
    def check_texts(name: str, value: Any) -> None:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValueError(f"{name} maps text to text")
        check(value)

    return check_texts


def _check_standings(value: dict[str, str]) -> None:
    for vat_id, standing in value.items():
        if standing not in VAT_STANDINGS:
            raise ValueError(f"{vat_id} is one of {', '.join(VAT_STANDINGS)}")


def _check_country(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{2}", value):
        raise ValueError(f"{name} is the code of a country")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "refunds": _one_of(REFUNDS),
    "payout_schedule": _one_of(SCHEDULES),
    "dispute_fee_returned": _check_flag,
    "settlement_currency": _texts(check_settlement),
    "exchange_rates": _texts(check_rates),
    "vat_ids": _texts(_check_standings),
    "tax_origin": _check_country,
}


def load_settings(store: Store) -> SandboxSettings:
    """Return the saved settings, or the defaults."""
    saved = store.setting(_NAME)
    return SandboxSettings() if saved is None else SandboxSettings(**json.loads(saved))


def save_settings(store: Store, settings: SandboxSettings) -> None:
    """Keep the settings for the next start, inside a transaction."""
    store.save_setting(_NAME, json.dumps(asdict(settings)))
