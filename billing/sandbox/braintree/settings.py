"""What the control API can set on the Braintree side, for all merchants or for one of them.

Times are seconds of the sandbox's clock. Settings survive a restart.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from billing.sandbox.braintree.money import scaled
from billing.sandbox.store import Store

_NAME = "braintree"
DAY = 86_400


@dataclass(frozen=True, slots=True)
class MerchantAccount:
    """A merchant account: it takes one currency and is paid out in one."""

    currency: str = "USD"
    settlement_currency: str = "USD"
    exchange_rate: str = "1"  # from the one to the other, per major unit
    fee_rate: str = "0.0259"  # of the settlement amount
    fee_fixed: str = "0.49"  # a transaction, in the settlement currency


@dataclass(frozen=True, slots=True)
class MerchantSettings:
    """The settings of a merchant; fees are Braintree's published ones for cards."""

    merchant_accounts: dict[str, dict[str, str]] = field(default_factory=lambda: {"default": {}})
    default_merchant_account: str = ""  # the first, when none is named
    duplicate_transaction_checking: bool = False
    duplicate_window_seconds: int = 30
    test_amounts: bool = True
    authorization_seconds: int = 7 * DAY
    settlement_hour: int = 0  # UTC
    settled_after_seconds: int = 3_600
    disbursed_after_days: int = 2
    # Braintree bills fees by the month unless agreed otherwise.
    fees_from_disbursement: bool = False
    # Without it PayPal's money stays in the merchant's PayPal account, as most merchants have it.
    paypal_disbursed: bool = True
    notification_delay_seconds: int = 0
    # A notification is dated by real time, which its receiver checks; else by the clock.
    real_timestamps: bool = False
    # The names that custom fields may have; empty lets any pass.
    custom_fields: list[str] = field(default_factory=list)
    # What the gateway itself rejects: cvv (any but "M"), avs (postal codes of the test values).
    gateway_rejects: list[str] = field(default_factory=list)

    def account(self, name: str | None) -> tuple[str, MerchantAccount] | None:
        """Return a merchant account with its name; the default one for None."""
        chosen = name or self.default_merchant_account or next(iter(self.merchant_accounts))
        facts = self.merchant_accounts.get(chosen)
        return None if facts is None else (chosen, _account(facts))

    def changed(self, changes: dict[str, Any]) -> "MerchantSettings":
        """Return these settings with some replaced. Raises: ValueError."""
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"unknown setting {name!r}")
            _CHECKS.get(name, _check_whole)(name, value)
        made = MerchantSettings(**{**asdict(self), **changes})
        if made.account(None) is None:
            raise ValueError("default_merchant_account names one of merchant_accounts")
        return made


def _account(facts: dict[str, str]) -> MerchantAccount:
    known = {"settlement_currency": facts.get("currency", "USD"), **facts}
    return MerchantAccount(**known)


def _check_whole(name: str, value: Any) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    if name == "settlement_hour" and value > 23:
        raise ValueError("settlement_hour is between 0 and 23")


def _check_flag(name: str, value: Any) -> None:
    if type(value) is not bool:
        raise ValueError(f"{name} is true or false")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} is a text")


def _check_texts(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} is a list of texts")
    if name == "gateway_rejects" and set(value) - {"cvv", "avs"}:
        raise ValueError("gateway_rejects takes cvv and avs")


def _check_accounts(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{name} maps at least one name to its currencies, rate and fees")
    for account, facts in value.items():
        if not isinstance(facts, dict) or set(facts) - set(asdict(MerchantAccount())):
            known = ", ".join(asdict(MerchantAccount()))
            raise ValueError(f"merchant account {account} takes {known}")
        if not all(isinstance(fact, str) for fact in facts.values()):
            raise ValueError(f"what is said of merchant account {account} is text")
        for fact in ("exchange_rate", "fee_rate", "fee_fixed"):
            if scaled(str(facts.get(fact, "0")), 6) is None:
                raise ValueError(f"{fact} of {account} is a decimal text with up to 6 decimals")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "merchant_accounts": _check_accounts,
    "default_merchant_account": _check_text,
    "duplicate_transaction_checking": _check_flag,
    "test_amounts": _check_flag,
    "fees_from_disbursement": _check_flag,
    "paypal_disbursed": _check_flag,
    "real_timestamps": _check_flag,
    "custom_fields": _check_texts,
    "gateway_rejects": _check_texts,
}


def load_settings(store: Store, merchant: str) -> MerchantSettings:
    """Return the settings of a merchant: its own, else those of all, else the defaults."""
    saved = _saved(store)
    return MerchantSettings(**{**saved.get("", {}), **saved.get(merchant, {})})


def change_settings(store: Store, merchant: str, changes: dict[str, Any]) -> MerchantSettings:
    """Change the settings of a merchant ("" for all), inside a transaction. Raises: ValueError."""
    made = load_settings(store, merchant).changed(changes)
    saved = _saved(store)
    saved[merchant] = {**saved.get(merchant, {}), **changes}
    store.save_setting(_NAME, json.dumps(saved))
    return made


def _saved(store: Store) -> dict[str, dict[str, Any]]:
    text = store.setting(_NAME)
    saved: dict[str, dict[str, Any]] = {} if text is None else json.loads(text)
    return saved
