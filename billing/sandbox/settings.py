"""What the control API can set: the provider's fee and how soon money shows up.

Amounts are minor units. Settings survive a restart.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from billing.sandbox.store import Store

_NAME = "settings"


@dataclass(frozen=True, slots=True)
class Settings:
    """The sandbox's settings; the defaults are Stripe's card fee in the United States."""

    fee_basis_points: int = 290
    fee_fixed: int = 30
    available_after_seconds: int = 2 * 86_400
    # automatic_async captures: how long `balance_transaction` stays null.
    async_capture_seconds: int = 0

    def fee(self, amount: int) -> int:
        """Return the fee for a captured amount, half up, never more than the amount."""
        return min(amount, (amount * self.fee_basis_points + 5_000) // 10_000 + self.fee_fixed)

    def changed(self, changes: dict[str, Any]) -> "Settings":
        """Return these settings with some replaced. Raises: ValueError."""
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"unknown setting {name!r}")
            if type(value) is not int or value < 0:
                raise ValueError(f"{name} must be a whole number, 0 or more")
        return Settings(**{**asdict(self), **changes})


def load_settings(store: Store) -> Settings:
    """Return the saved settings, or the defaults."""
    saved = store.setting(_NAME)
    return Settings() if saved is None else Settings(**json.loads(saved))


def save_settings(store: Store, settings: Settings) -> None:
    """Keep the settings for the next start."""
    with store.transaction():
        store.save_setting(_NAME, json.dumps(asdict(settings)))
