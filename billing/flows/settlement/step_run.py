"""A settlement step in hand: what it works with, and going forward one batch at a time."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from json import dumps
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from billing.errors import Conflict
from billing.flows.policy import Policy
from billing.gateway import Gateway
from billing.store.settlement import runs
from billing.store.settlement.runs import Claim

# Clocks of two companies differ, and what is listed late is read by the next run.
OVERLAP: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Means:
    """What a run is worked on with. `wall` is real time, which leases live by."""

    engine: Engine
    policy: Policy
    now: datetime
    wall: Callable[[], datetime]
    gateway: Gateway | None = None
    file: Path | None = None
    actor: str = "reconciler"


class LeaseLost(Conflict):
    """Somebody else has taken the step over; what we had in hand is rolled back."""


@dataclass(slots=True)
class Hand:
    """A step in our hands: its run, where it stands, and a way to go one batch forward."""

    means: Means
    run: Row[Any]
    claim: Claim
    cursor: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def batch(self) -> Iterator[Connection]:
        """Open a transaction; at its end, where the step stands is written with the rest.

        What is rolled back leaves cursor and counts as they were too.
        """
        before = dict(self.cursor), Counter(self.counts)
        try:
            with self._committed() as conn:
                yield conn
        except BaseException:
            self.cursor, self.counts = before
            raise

    @contextmanager
    def _committed(self) -> Iterator[Connection]:
        with self.means.engine.begin() as conn:
            yield conn
            until = self.means.wall() + self.means.policy.reconciler_lease
            cursor, counts = self._as_json()
            if not runs.advance(conn, self.claim, cursor=cursor, counts=counts, until=until):
                raise LeaseLost(f"somebody else works on {self.claim.step} of this run")

    def finish(self) -> None:
        """Write the end of the step."""
        with self.means.engine.begin() as conn:
            cursor, counts = self._as_json()
            if not runs.finish(
                conn, self.claim, cursor=cursor, counts=counts, wall=self.means.wall()
            ):
                raise LeaseLost(f"somebody else works on {self.claim.step} of this run")

    def _as_json(self) -> tuple[str, str]:
        return dumps(self.cursor), dumps({k: v for k, v in sorted(self.counts.items())})
