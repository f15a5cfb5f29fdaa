"""How the provider's rate is divided among the processes that talk to it.

Nobody is asked before a call, so each process has a fixed part. All that run at all times stay
within the whole together: the workers, the API and one reconciler, which also handles webhooks.
"""

from collections.abc import Mapping
from typing import Final

from billing.config import Settings

# Charges come first; the callers of the API wait for an answer, the reconciler can wait.
SHARES: Final[Mapping[str, float]] = {"worker": 0.65, "api": 0.20, "reconciler": 0.15}
BY_HAND: Final = "reconciler"
"""A command at the shell has the share of the role that does the same; it is over soon."""


def calls_per_second(whole: float, settings: Settings, role: str | None) -> float:
    """Return what one process of a role may ask for of an account's whole rate.

    All of it, if nobody else asks.
    """
    if role is None:
        return whole
    processes = {"worker": settings.worker.processes, "api": settings.api.processes}
    return whole * SHARES[role] / processes.get(role, 1)
