"""One seeded schedule: which process goes on, which one dies, and what goes wrong on the way.

Every process of the engine is an actor with a thread of its own, and exactly one of them runs at a
time. At a *point* (around a commit, a call of the provider, a message) the running actor asks the
schedule, which lets it go on, lets others run first, ends it, or lets something fail. All chance
comes from the seed, so one seed is one story.

An actor whose statement waits for a row that a paused actor has locked counts as waiting: the
database says so (`blocked`), and it goes on when the schedule picks it after the lock is free. Of
actors that wait for each other the one that was last is refused (`deadlocked`).
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

_LOOK_SECONDS: Final = 0.01
_STUCK_SECONDS: Final = 1200.0  # the release of hundreds of periods is one job


class Death(BaseException):
    """The process ends here. Nothing in the engine catches it."""


class At(Enum):
    """Where an actor is."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting for a lock"
    DEAD = "dead"


@dataclass(frozen=True)
class Crash:
    """An error that a process doesn't take: who had it, and where in the story."""

    name: str
    point: str
    step: int
    error: BaseException


class Crashed(Exception):
    """A process ended by an error of its own."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.name)
        self.crash = crash


class Actor:
    """A process that runs one job at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = At.IDLE
        self.point = ""
        self.doomed = False  # whatever it does next ends it
        self.commits = 0
        self.holds_locks = False
        self.backend: int | None = None  # the server process of its last statement
        self.failed: BaseException | None = None
        self.job: Callable[[], object] | None = None
        self.go = threading.Lock()
        self.go.acquire()
        self.thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"{self.name} ({self.at.value} {self.point})"


class Chances:
    """How likely everything is at a point; all 0 while it is calm."""

    def __init__(
        self, switch: float = 0.0, death: float = 0.0, faults: Mapping[str, float] | None = None
    ) -> None:
        self.switch = switch
        self.death = death
        self.faults = dict(faults or {})


CALM: Final = Chances()


class Schedule:
    """Runs actors one at a time, as its seed says.

    `kept` has the numbers of the faults and deaths that happen, in a story that was made shorter.
    """

    def __init__(
        self,
        seed: object,
        *,
        blocked: Callable[[Collection[int]], set[int]] = lambda _: set(),
        is_over: Callable[[int], bool] = lambda _: True,
        deadlocked: Callable[[int], bool] = lambda _: False,
        kept: Collection[int] | None = None,
    ) -> None:
        self._turns = random.Random(f"turns {seed}")
        self._fates = random.Random(f"fates {seed}")
        self._blocked = blocked
        self._is_over = is_over
        self._deadlocked = deadlocked
        self._kept = None if kept is None else frozenset(kept)
        self._mutex = threading.Lock()
        self._back = threading.Lock()
        self._back.acquire()
        self._here = threading.local()
        self.actors: list[Actor] = []
        self.chances = CALM
        self.trace: list[str] = []
        self.happened: Counter[str] = Counter()
        self.fates: list[str] = []  # by number, those that aren't kept too
        self.points = 0
        self.deaths = 0
        self.crashes: list[Crash] = []

    # --- what actors call -----------------------------------------------------------------------

    @property
    def running(self) -> Actor | None:
        """The actor whose thread this is; None in the story's own thread."""
        return getattr(self._here, "actor", None)

    def reach(self, point: str, faults: Sequence[str] = (), *, locks: bool = False) -> str | None:
        """Reach a point: return what fails here, or None. Raises `Death`.

        `locks` tells that the actor is inside a transaction.
        """
        actor = self.running
        if actor is None:
            return None
        self._woken(actor)
        self._die_if_doomed(actor)
        self.points += 1
        actor.point = point
        fate = self._fate(actor, point, faults)
        if self._turns.random() < self.chances.switch:
            actor.holds_locks = locks
            self._pause(actor, At.PAUSED)
            actor.holds_locks = False
        if fate == "death":
            self.deaths += 1
            actor.doomed = True
            raise Death(point)
        return fate

    def fails(self, point: str, faults: Sequence[str]) -> str | None:
        """Return what fails at a place where nobody can be interrupted, or None."""
        actor = self.running
        if actor is None:
            return None
        actor.point = point
        return self._fate(actor, point, faults, death=0.0)

    def waited(self) -> None:
        """Tell the schedule that a statement is done, which may have waited for a lock."""
        actor = self.running
        if actor is not None:
            self._woken(actor)

    def go_on(self) -> None:
        """Refuse a process that was ended to do anything more. Raises `Death`."""
        actor = self.running
        if actor is not None:
            self._die_if_doomed(actor)

    def ended(self, backend: int) -> None:
        """Wait until the server has noticed the end of a connection, and let go of its locks.

        Otherwise it would depend on the machine whom they hold up.
        """
        began = time.monotonic()
        while not self._is_over(backend):
            assert time.monotonic() - began < _STUCK_SECONDS, f"{backend} doesn't end"
            time.sleep(0.0005)

    def statement(self, backend: int) -> None:
        """Note the server process that an actor's next statement runs in. Raises `Death`."""
        actor = self.running
        if actor is not None:
            self._die_if_doomed(actor)
            actor.backend = backend

    def _die_if_doomed(self, actor: Actor) -> None:
        if actor.doomed:
            raise Death(actor.point)

    def _fate(
        self, actor: Actor, point: str, faults: Sequence[str], death: float | None = None
    ) -> str | None:
        fate: str | None = None
        if self._fates.random() < (self.chances.death if death is None else death):
            fate = "death"
        else:
            for fault in faults:
                if self._fates.random() < self.chances.faults.get(fault, 0.0):
                    fate = fault
                    break
        if fate is None:
            return None
        self.fates.append(f"{fate} of {actor.name} at {point}")
        if self._kept is not None and len(self.fates) - 1 not in self._kept:
            return None
        self.happened[fate] += 1
        self.tell(f"{actor.name}: {fate} at {point}")
        return fate

    def _pause(self, actor: Actor, at: At) -> None:
        actor.at = at
        self._back.release()
        actor.go.acquire()
        actor.at = At.RUNNING
        self._die_if_doomed(actor)

    def _woken(self, actor: Actor) -> None:
        """Wait for a turn where the story went on without this actor: it waited for a lock."""
        with self._mutex:
            if actor.at is not At.WAITING:
                return
            actor.at = At.PAUSED
        actor.go.acquire()
        actor.at = At.RUNNING
        self._die_if_doomed(actor)

    # --- what the story calls -------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(line)

    def add(self, name: str) -> Actor:
        """Add an actor."""
        actor = Actor(name)
        actor.thread = threading.Thread(target=self._live, args=(actor,), name=name, daemon=True)
        actor.thread.start()
        self.actors.append(actor)
        return actor

    def start(self, actor: Actor, job: Callable[[], object]) -> None:
        """Give an idle actor a job, and let it run to its first pause."""
        assert actor.at is At.IDLE, actor
        actor.job, actor.failed, actor.commits = job, None, 0
        self._run(actor)

    def resume(self, actor: Actor) -> None:
        """Let a paused actor go on."""
        assert actor.at is At.PAUSED, actor
        self._run(actor)

    def kill(self, actor: Actor) -> None:
        """End a process where it stands."""
        if actor.at is At.PAUSED:
            self.tell(f"{actor.name}: killed at {actor.point}")
            self.deaths += 1
            actor.doomed = True
            self._run(actor)

    def restart(self, actor: Actor) -> None:
        """Start a process again that had died."""
        assert actor.at is At.DEAD, actor
        actor.doomed, actor.at, actor.point = False, At.IDLE, ""

    def those(self, *at: At) -> list[Actor]:
        """Return the actors that are in one of these places, in a fixed order."""
        return [actor for actor in self.actors if actor.at in at]

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing go wrong for a while, and nobody be interrupted."""
        before, self.chances = self.chances, CALM
        try:
            yield
        finally:
            self.chances = before

    def finish(self) -> None:
        """Let everybody who is in the middle of something finish it, undisturbed."""
        with self.calm():
            while busy := self.those(At.PAUSED):
                self.resume(busy[0])
        self.judge()
        assert not self.those(At.WAITING), self.actors

    def judge(self) -> None:
        """Raise `Crashed` where a process ended by an error of its own."""
        if self.crashes:
            raise Crashed(self.crashes[0])

    def close(self) -> None:
        """End all threads; who doesn't come back is left."""
        with self.calm(), suppress(AssertionError):
            while busy := self.those(At.PAUSED):
                busy[0].doomed = True
                self._run(busy[0])
        for actor in self.actors:
            actor.job, actor.doomed = None, True
            if actor.go.locked():
                actor.go.release()

    def _run(self, actor: Actor) -> None:
        actor.at = At.RUNNING
        actor.go.release()
        self._until_back(actor)
        self._let_waiting_settle()

    def _until_back(self, actor: Actor) -> None:
        began = time.monotonic()
        while not self._back.acquire(timeout=_LOOK_SECONDS if self._somebody_locks() else 30):
            with self._mutex:
                waits = actor.backend is not None and actor.backend in self._waiting([actor])
                if waits and self._deadlocked(actor.backend or 0):
                    self.happened["deadlock of actors"] += 1
                elif waits and actor.at is At.RUNNING:
                    actor.at = At.WAITING
                    self.tell(f"{actor.name}: waits for a lock")
                    return
            if time.monotonic() - began >= _STUCK_SECONDS:
                actor.at = At.WAITING  # nobody picks it any more
                raise AssertionError(f"{actor.name} doesn't come back, at {actor.point}")

    def _somebody_locks(self) -> bool:
        return any(each.holds_locks or each.at is At.WAITING for each in self.actors)

    def _waiting(self, actors: Sequence[Actor]) -> set[int]:
        return self._blocked([each.backend for each in actors if each.backend is not None])

    def _let_waiting_settle(self) -> None:
        """Wait until each actor whose lock is free now has noticed; it then waits for its turn."""
        began = time.monotonic()
        while waiting := self.those(At.WAITING):
            still = self._waiting(waiting)
            if all(each.at is not At.WAITING or each.backend in still for each in waiting):
                return
            assert time.monotonic() - began < _STUCK_SECONDS, self.actors
            time.sleep(0.0005)

    def _live(self, actor: Actor) -> None:
        self._here.actor = actor
        while True:
            actor.go.acquire()
            if actor.job is None:
                return
            try:
                actor.job()
                actor.at = At.IDLE
            except Death:
                if actor.backend is not None:
                    self.ended(actor.backend)
                actor.at = At.DEAD
            except BaseException as error:  # noqa: BLE001  the story judges it
                self.crashes.append(Crash(actor.name, actor.point, self.points, error))
                actor.failed, actor.at = error, At.IDLE
            actor.holds_locks = False
            self._back.release()
