"""What the flows are told by configuration, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from billing.dunning import Budget
from plans.terms import Cadence, Dunning

DEFAULT_LADDER: Final = Dunning((Cadence(3, "day"), Cadence(5, "day"), Cadence(7, "day")), "cancel")
CatchUpPolicy = Literal["bill", "skip", "park"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Every rule of the house that a flow obeys; a plan may carry its own ladder and catch-up.

    `lease` must outlive the gateway's deadline: while it runs, nobody else sends the attempt.
    `key_max_age` is how long the provider surely remembers an idempotency key; past it an
    unknown attempt is looked up in the provider's lists and not sent again.
    """

    mode: str = "sandbox"
    ladder: Dunning = DEFAULT_LADDER
    budget: Budget = field(default_factory=Budget)
    catch_up: CatchUpPolicy = "bill"
    catch_up_cap: int = 3
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)
    dispatch_window: timedelta = timedelta(seconds=60)
    lease: timedelta = timedelta(seconds=120)
    unknown_backoff: timedelta = timedelta(seconds=5)
    unknown_backoff_max: timedelta = timedelta(minutes=10)
    key_max_age: timedelta = timedelta(hours=23)
    confirm_grace: timedelta = timedelta(hours=1)
