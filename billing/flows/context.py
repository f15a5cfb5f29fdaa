"""What flows work with: the database, the providers, the policy and the clock."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from billing.flows.policy import Policy
from billing.gateway import Gateway
from billing.gateway.gateways import NO_GATEWAYS, Gateways
from billing.store.transactions import Joined, Transactions

__all__ = ["Clock", "Context", "Joined", "StoppedClock", "Transactions"]


class Clock(Protocol):
    """Reads domain time and real time, both aware and in UTC; see `workers.runtime.clock`."""

    def now(self) -> datetime:
        """Return domain time: periods, ladders, what is due."""
        ...

    def wall(self) -> datetime:
        """Return real time: leases and pauses."""
        ...


@dataclass(frozen=True, slots=True)
class StoppedClock:
    """A clock that stands still, for work whose parts must all see the same instant."""

    stopped_now: datetime
    stopped_wall: datetime

    def now(self) -> datetime:
        """Return the fixed domain time."""
        return self.stopped_now

    def wall(self) -> datetime:
        """Return the fixed real time."""
        return self.stopped_wall


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that a flow takes as a whole.

    `gateways` maps the name of each provider account to its gateway; it is empty where the flow
    calls no provider. `provider` names the account that this work is about; None is the default.
    """

    engine: Engine
    policy: Policy
    clock: Clock
    gateways: Gateways = NO_GATEWAYS
    provider: str | None = None

    @property
    def gateway(self) -> Gateway:
        """The gateway of the account. Raises: Unavailable where there is none."""
        return self.gateways.default if self.provider is None else self.gateways.of(self.provider)

    @property
    def account(self) -> str:
        """The name of the account. Raises: Unavailable where there is none."""
        return self.provider or self.gateways.default_account

    def at_provider(self, provider: str) -> "Context":
        """Return the same parts for work that is about this account."""
        return replace(self, provider=provider)

    def at_one_instant(self) -> "Context":
        """Return the same parts with a clock that stands at this instant."""
        return replace(self, clock=StoppedClock(self.clock.now(), self.clock.wall()))
