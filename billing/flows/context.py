"""What flows work with: the database, the providers, the rules of the house and the clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Engine

from billing.errors import Unavailable
from billing.flows.policy import Policy
from billing.gateway import Gateway

DEFAULT_PROVIDER: Final = "stripe"


class Clock(Protocol):
    """Tells domain time and real time; see `workers.runtime.clock`."""

    def now(self) -> datetime:
        """Return domain time: periods, ladders, what is due."""
        ...

    def wall(self) -> datetime:
        """Return real time: leases and pauses."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that a flow takes as a whole.

    `gateways` has a gateway for each provider account by its name; it is empty where no provider
    is to be asked.
    """

    engine: Engine
    policy: Policy
    clock: Clock
    gateways: Mapping[str, Gateway] = field(default_factory=dict)

    @property
    def gateway(self) -> Gateway:
        """The gateway of the default provider account. Raises: Unavailable where there is none."""
        try:
            return self.gateways[DEFAULT_PROVIDER]
        except KeyError:
            raise Unavailable("there is no provider to ask here") from None
