"""What flows work with: the database, the providers, the rules of the house and the clock."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from billing.flows.policy import Policy
from billing.gateway import Gateway
from billing.gateway.gateways import NO_GATEWAYS, Gateways


class Clock(Protocol):
    """Tells domain time and real time, both aware and in UTC; see `workers.runtime.clock`."""

    def now(self) -> datetime:
        """Return domain time: periods, ladders, what is due."""
        ...

    def wall(self) -> datetime:
        """Return real time: leases and pauses."""
        ...


@dataclass(frozen=True, slots=True)
class StoppedClock:
    """Tells one instant, for work whose parts all have to see the same."""

    stopped_now: datetime
    stopped_wall: datetime

    def now(self) -> datetime:
        """Return domain time as it was."""
        return self.stopped_now

    def wall(self) -> datetime:
        """Return real time as it was."""
        return self.stopped_wall


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that a flow takes as a whole.

    `gateways` has a gateway for each provider account by its name; it is empty where no provider
    is to be asked.
    """

    engine: Engine
    policy: Policy
    clock: Clock
    gateways: Gateways = NO_GATEWAYS

    @property
    def gateway(self) -> Gateway:
        """The gateway of the default account. Raises: Unavailable where no provider is asked."""
        return self.gateways.default

    def at_one_instant(self) -> "Context":
        """Return the same parts with a clock that stands at this instant."""
        return replace(self, clock=StoppedClock(self.clock.now(), self.clock.wall()))
