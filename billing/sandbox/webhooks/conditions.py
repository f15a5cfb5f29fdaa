"""How webhooks travel: set through the control API, kept over a restart, repeatable.

What happens to a delivery is drawn from the seed and the delivery's number alone, so the same
run meets the same losses whatever the threads do.
"""

import json
import random
from dataclasses import asdict, dataclass
from typing import Any

from billing.sandbox.store import Store
from billing.sandbox.webhooks.signing import SIGNATURES

_NAME = "webhooks"
_CHANCES = ("loss", "duplication", "reordering")
_WHOLE = ("seed", "delay_ms", "reordering_ms", "timeout_ms")


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What happens to one delivery."""

    lost: bool
    doubled: bool
    held_back: bool
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the road between the provider and its webhook endpoints."""

    loss: float = 0.0  # never sent; the event stays undelivered
    duplication: float = 0.0  # sent twice
    reordering: float = 0.0  # held back, so that later ones overtake it
    reordering_ms: int = 200
    delay_ms: int = 0
    seed: int = 0
    paused: bool = False
    retry_ms: tuple[int, ...] = (50, 200, 1_000, 5_000)
    timeout_ms: int = 10_000
    signature: str = "good"
    timestamp_offset: int = 0  # seconds added to the signature's timestamp

    def outcome_of(self, number: int) -> DeliveryOutcome:
        """Return what happens to a delivery."""
        chance = random.Random(f"{self.seed}:{number}")  # noqa: S311  repeatable, not secret
        lost, doubled, late = (chance.random() for _ in range(3))
        held_back = late < self.reordering
        wait = self.delay_ms + (self.reordering_ms if held_back else 0)
        return DeliveryOutcome(lost < self.loss, doubled < self.duplication, held_back, wait / 1000)

    def changed(self, changes: dict[str, Any]) -> "Conditions":
        """Return these conditions with some replaced. Raises: ValueError."""
        for name, value in changes.items():
            if name not in asdict(self):
                raise ValueError(f"unknown condition {name!r}")
            _check(name, value)
        made = {**asdict(self), **changes}
        made["retry_ms"] = tuple(made["retry_ms"])
        return Conditions(**made)

    def described(self) -> dict[str, Any]:
        """Return the conditions as the control API shows them."""
        return asdict(self)


def _check(name: str, value: Any) -> None:
    if name in _CHANCES:
        good, wanted = type(value) in (int, float) and 0 <= value <= 1, "between 0 and 1"
    elif name in _WHOLE:
        good, wanted = type(value) is int and value >= 0, "a whole number, 0 or more"
    elif name == "retry_ms":
        good = isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)
        wanted = "a list of milliseconds"
    elif name == "paused":
        good, wanted = type(value) is bool, "true or false"
    elif name == "signature":
        good, wanted = value in SIGNATURES, f"one of {', '.join(SIGNATURES)}"
    else:
        good, wanted = type(value) is int, "a whole number of seconds"
    if not good:
        raise ValueError(f"{name} must be {wanted}")


def load_conditions(store: Store) -> Conditions:
    """Return the saved conditions, or those without faults."""
    saved = store.setting(_NAME)
    return Conditions() if saved is None else Conditions().changed(json.loads(saved))


def save_conditions(store: Store, conditions: Conditions) -> None:
    """Keep the conditions for the next start, inside a transaction."""
    store.save_setting(_NAME, json.dumps(asdict(conditions)))
