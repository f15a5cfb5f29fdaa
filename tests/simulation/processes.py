"""The processes of the engine in a simulation: what each does when the schedule picks it.

They call what the shipped loops call, and take the errors that those take; any other error ends the
story.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import redis
from sqlalchemy.exc import DBAPIError

from billing.api.webhooks import Intake
from billing.errors import BillingError
from billing.gateway.registry import KINDS
from billing.sandbox.webhooks.signing import signature_header
from billing.workers.daemons import charges, refunds
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.daemons.scheduler import Scheduler, Tick
from billing.workers.daemons.ticking import Ticking
from billing.workers.daemons.webhooks import Webhooks
from billing.workers.runtime.broker import CHARGE_ACTOR
from billing.workers.runtime.outcomes import CANT_WRITE
from tests.simulation.schedule import Actor, At

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

SECRET: Final = "whsec_of_the_simulation"
NO_TICK: Final = Tick()
RETURNED: Final = 0.5  # of the messages of a worker that died

Job = Callable[[], object]


class Process:
    """A process with a runtime of its own, which it loses when it dies."""

    def __init__(self, simulation: "Simulation", name: str, apart: timedelta = timedelta()) -> None:
        self.simulation = simulation
        self.apart = apart
        self.begun_at = simulation.now
        self.actor: Actor = simulation.schedule.add(name)
        self.begin()

    @property
    def name(self) -> str:
        return self.actor.name

    def begin(self) -> None:
        """Start with nothing in memory."""
        self.runtime = self.simulation.make_runtime(self.apart)

    def set_clock(self, apart: timedelta) -> None:
        """Set this process's clock, so far from the right time."""
        clock: Any = self.runtime.clock
        clock.apart = apart

    def end(self) -> None:
        """Lose what was in memory, and the connections."""
        self.runtime.engine.dispose()

    def restart(self) -> None:
        self.end()
        self.begin()
        self.simulation.schedule.restart(self.actor)

    def job(self) -> Job | None:
        """Return what there is to do, or None."""
        raise NotImplementedError


class Loop(Process):
    """A role that ticks."""

    kind: type[Ticking]
    often: float
    quiet_since = -1

    def begin(self) -> None:
        super().begin()
        self.loop: Any = self.kind(self.runtime, self.simulation.metrics)  # type: ignore[call-arg]

    def job(self) -> Job:
        return self._tick

    @property
    def is_quiet(self) -> bool:
        """Tell whether it found nothing to do, and nothing has happened since."""
        return self.quiet_since == self.simulation.happenings

    def _tick(self) -> None:
        happenings, self.quiet_since = self.simulation.happenings, -1
        try:
            done = self.loop.tick()
            if done in (NO_TICK, []):
                self.quiet_since = happenings
        except (DBAPIError, BillingError, redis.RedisError) as error:
            self.simulation.schedule.tell(f"{self.name}: {type(error).__name__}")


class SchedulerProcess(Loop):
    kind = Scheduler
    often = 0.7


class ReconcilerProcess(Loop):
    kind = Reconciler
    often = 0.05


class WebhookProcess(Loop):
    kind = Webhooks
    often = 0.1


class WorkerProcess(Process):
    """A worker with one thread."""

    message: tuple[str, str] | None = None

    def job(self) -> Job | None:
        return self._work if self.simulation.queue.messages else None

    def _work(self) -> None:
        messages, chance = self.simulation.queue.messages, self.simulation.chance
        late = chance.random() < 0.2
        self.message = messages.pop(chance.randrange(len(messages)) if late else 0)
        actor, row_id = self.message
        work = charges.charge if actor == CHARGE_ACTOR else refunds.refund
        try:
            work(self.runtime, self.simulation.metrics, UUID(row_id))
        except CANT_WRITE as error:
            self.simulation.schedule.tell(f"{self.name}: {type(error).__name__}")
        self.message = None

    def restart(self) -> None:
        if self.message is not None and self.simulation.chance.random() < RETURNED:
            self.simulation.queue.messages.append(self.message)
        self.message = None
        super().restart()


class ApiProcess(Process):
    """Takes the deliveries of the provider's webhooks in."""

    def begin(self) -> None:
        super().begin()
        settings, metrics = self.runtime.settings, self.simulation.metrics
        self.intake = Intake(
            engine=self.runtime.engine,
            provider="stripe",
            kind=KINDS["stripe"],
            wall=self.runtime.clock.wall,
            secrets=[SECRET],
            tolerance=settings.webhooks.tolerance,
            live=False,
            received=metrics.webhook_received,
            refused=metrics.webhook_refused,
        )

    def job(self) -> Job | None:
        return self._take if self.simulation.deliveries else None

    def _take(self) -> None:
        deliveries, chance = self.simulation.deliveries, self.simulation.chance
        event = deliveries[_picked(chance, len(deliveries))]
        fate = chance.random()
        if fate < self.simulation.loss:
            deliveries.remove(event)
            self.simulation.schedule.happened["webhook lost"] += 1
            return
        body = json.dumps(event).encode()
        at = int(self.simulation.time.wall.timestamp())
        try:
            self.intake.take(body, {"stripe-signature": signature_header(body, [SECRET], at)})
        except DBAPIError:
            return  # it is answered with 503, and delivered again
        if fate < 1 - self.simulation.loss:
            deliveries.remove(event)
        else:
            self.simulation.schedule.happened["webhook doubled"] += 1


def _picked(chance: Random, count: int) -> int:
    return chance.randrange(count) if chance.random() < 0.3 else 0


def is_free(process: Process) -> bool:
    """Tell whether a process can begin something."""
    return process.actor.at is At.IDLE
