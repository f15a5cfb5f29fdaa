"""How the provider's rate is divided among the processes that talk to it.

A process asks no other one before a call, so each has a fixed share. The processes that always run
(workers, API and one reconciler, which also handles webhooks) together stay within the whole rate.
"""

from collections.abc import Mapping
from typing import Final

from billing.config import Settings

# Charges get the most; callers of the API wait for an answer; the reconciler can wait.
SHARES: Final[Mapping[str, float]] = {"worker": 0.65, "api": 0.20, "reconciler": 0.15}
BY_HAND: Final = "reconciler"
"""A command at the shell has the share of the role that does the same work; it ends soon. So has a
console, which asks for balances when a person does."""


def calls_per_second(whole: float, settings: Settings, role: str | None) -> float:
    """Return the share of an account's whole rate for one process of a role.

    Without a role the process gets the whole rate.
    """
    if role is None:
        return whole
    processes = {"worker": settings.worker.processes, "api": settings.api.processes}
    share = SHARES[BY_HAND if role == "console" else role]
    return whole * share / processes.get(role, 1)
