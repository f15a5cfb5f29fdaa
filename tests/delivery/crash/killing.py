"""Goes through flows: kills a process at every point, and tells what stood and what followed.

    python -m tests.delivery.crash.killing GROUP

with CRASH_DATABASE, CRASH_PROVIDER and CRASH_REDIS in the environment, in a folder of its own. The
reports are written to `reports.json` there.

First the flow runs undisturbed, and its points are written down in their order. Then, for each of
them, the scene is set anew and a process is killed there. Between two deaths everything comes to
rest: so what is new in the database is of this death alone.
"""

import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import billing.store.engine
from billing.crash_points import CrashPoint
from billing.errors import BillingError
from tests.delivery.crash import processes
from tests.delivery.crash.flow import OTHER_ACCOUNT, Flow, groups
from tests.delivery.crash.rows import WORDS, Rows, made, read, told
from tests.engines import sharing
from tests.scenarios.money import NO_TRIAL
from tests.scenarios.world import World

REPORTS: Final = "reports.json"
_AT_REST: Final = frozenset({"tasks"})  # of roles that run all the time
_OUTCOME: Final = frozenset(
    {
        "customers", "payment_methods", "subscriptions", "subscription_items", "cycles", "invoices",
        "credit_grants", "credit_moves", "payments", "refunds", "disputes", "ledger.entries",
    }
)  # fmt: skip
_ON_THE_WAY: Final = frozenset(WORDS) - _OUTCOME


@dataclass
class Death:
    """One death: where, what stood then, and what followed; `again` is how doing it again ended."""

    point: str
    nth: int
    stands: str
    provider: str
    follows: str
    provider_after: str
    again: str = ""


@dataclass
class Report:
    """What was seen of a flow; `wrong` is what must not be."""

    flow: str
    undisturbed: str = ""
    deaths: list[Death] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A point of a flow, as it is reached the nth time; `label` counts those that are shown."""

    point: CrashPoint
    nth: int
    label: int


class Run:
    """One flow in one world."""

    def __init__(self, flow: Flow, world: World, folder: Path) -> None:
        self.flow, self.world, self.folder = flow, world, folder
        self.report = Report(flow.name)

    def go(self) -> None:
        """Kill a process at each point; what was seen, and what went wrong, is in the report."""
        places = self._undisturbed()
        for place in places:
            self._die(place)
        if not any([self.report.undisturbed, *(each.stands for each in self.report.deaths)]):
            self.report.wrong.append("it changes nothing")

    def _undisturbed(self) -> list[Place]:
        trace = self.folder / "trace"
        trace.unlink(missing_ok=True)
        world, subject = self._scene()
        before, there = self._read(world), self._objects(world)
        work = processes.recorded(lambda w: self._run(w, subject), trace)
        self._fork(world, work, "undisturbed", 0)
        self._rest(world, subject, again=False)
        self.report.undisturbed = told(before, self._read(world), _AT_REST)
        self._expected = self._made(world, there)
        if self.flow.again:  # so that nothing of it is left for the next one
            self._rest(world, subject, again=True)
        self._outcome = told(before, self._read(world), _ON_THE_WAY)
        lines = [line.split("\t") for line in trace.read_text().splitlines()]
        rows = [(thread, what, where) for thread, what, where in lines]
        self.report.wrong += processes.bare_gaps(rows)
        return places(rows)

    def _die(self, place: Place) -> None:
        world, subject = self._scene()
        before, there = self._read(world), self._objects(world)
        work = processes.dying(lambda w: self._run(w, subject), place.point, place.nth)
        self._fork(world, work, f"{place.point} ({place.nth})", -signal.SIGKILL)
        dead, there_then = self._read(world), self._objects(world)
        again = self._rest(world, subject, again=self.flow.again)
        rest = self._read(world)
        self.report.deaths.append(
            Death(
                place.point.name,
                place.label,
                told(before, dead),
                made(there, there_then),
                told(dead, rest, _AT_REST),
                made(there_then, self._objects(world)),
                again,
            )
        )
        if self._made(world, there) != self._expected:
            self._wrong(place, f"{self._made(world, there)}, undisturbed {self._expected}")
        outcome = told(before, rest, _ON_THE_WAY)
        if outcome != self._outcome and not self.flow.grows:
            self._wrong(place, f"{outcome}; undisturbed {self._outcome}")
        if any(psp.captured_twice() for psp in world.psps.values()):
            self._wrong(place, "captured twice")

    def _wrong(self, place: Place, what: object) -> None:
        self.report.wrong.append(f"{place.point} ({place.nth}): {what}")

    def _scene(self) -> tuple[World, Any]:
        with self.world.runtime.broker.client as client:
            client.flushdb()
        subject = self.flow.prepare(self.world)
        self._last = subject if isinstance(subject, World) else self.world
        return self._last, subject

    def _run(self, world: World, subject: Any) -> None:
        with suppress(BillingError):  # a refusal ends a flow as it is meant to
            self.flow.run(world, subject)

    def _rest(self, world: World, subject: Any, *, again: bool) -> str:
        """Let it be done again, and the roles go on; return how doing it again ended."""
        world.psp.heal()
        word = self.folder / "again"
        word.write_text("")
        world.wait(processes.LONGEST_HOLD)
        if again:
            self._fork(world, partial(self._do_again, subject, word), "done again", 0)
        processes.restarted(world)
        world.wait(processes.LONGEST_HOLD)  # so that whatever is written next is at another instant
        return word.read_text()

    def _do_again(self, subject: Any, word: Path, world: World) -> None:
        try:
            self.flow.run(world, subject)
            word.write_text("done")
        except BillingError as error:
            word.write_text(f"refused: {getattr(error, 'code', None) or type(error).__name__}")

    def _fork(self, world: World, work: Any, what: str, expected: int) -> None:
        output = self.folder / "output"
        output.write_text("")
        ended = processes.forked(world, work, output)
        if ended != expected:
            words = "\n".join(output.read_text().splitlines()[-12:])
            self.report.wrong.append(f"{what}: ended with {ended}, not {expected}\n{words}")

    def _read(self, world: World) -> Rows:
        return read(world.engine, now=world.now, wall=world.wall)

    def _objects(self, world: World) -> dict[str, int]:
        objects: dict[str, int] = world.psp._control("GET", "stats")["objects"]
        return objects

    def _made(self, world: World, before: dict[str, int]) -> str:
        return made(before, self._objects(world))

    def add_up(self) -> None:
        """Compare books, provider and promises; what differs is in the report."""
        try:
            if self.flow.breaks:
                self._last.close_books()
                self._last.assert_promises_hold()
            else:
                self._last.assert_everything_adds_up()
        except AssertionError:
            self.report.wrong.append(f"it doesn't add up: {traceback.format_exc(limit=-2)}")


def places(trace: list[tuple[str, str, str]]) -> list[Place]:
    """Return where a process is killed.

    At each point once, and again where something durable lies before it and another point does.
    """
    seen: set[tuple[CrashPoint | None, CrashPoint]] = set()
    reached: Counter[CrashPoint] = Counter()
    labels: Counter[CrashPoint] = Counter()
    places = []
    before, happened = None, False
    for _, what, where in trace:
        if what != "point":
            happened |= what in processes.EFFECTS
            continue
        point = CrashPoint[where]
        reached[point] += 1
        if not labels[point] or (happened and (before, point) not in seen):
            labels[point] += 1
            places.append(Place(point, reached[point], labels[point]))
            happened = False
        seen.add((before, point))
        before = point
    return places


def opened(folder: Path, accounts: Sequence[str] = ()) -> World:
    """Return a world at its beginning, with a queue of its own, and with further accounts."""
    vars(billing.store.engine)["create_engine"] = sharing
    database, provider = os.environ["CRASH_DATABASE"], os.environ["CRASH_PROVIDER"]
    more = dict.fromkeys(accounts, provider)
    world = World(database, provider, folder / "catalog", prepared=True, more=more)
    settings = world.runtime.settings
    changed = {
        "redis": settings.redis.model_copy(update={"url": os.environ["CRASH_REDIS"]}),
        "worker": settings.worker.model_copy(update={"threads": 1}),
    }
    world.runtime.__dict__["settings"] = settings.model_copy(update=changed)
    world.publish(NO_TRIAL)
    for name in (None, *accounts):
        world.customer(None, name)  # so that each account was compared
    return world


def main(group: str) -> None:
    """Write the reports of the flows of a group, which share a world."""
    folder = Path.cwd()
    flows = groups()[group]
    world = opened(folder, [OTHER_ACCOUNT] if any(each.other_account for each in flows) else [])
    runs = [Run(flow, world, folder) for flow in flows]
    for run in runs:
        run.go()
    runs[-1].add_up()
    (folder / REPORTS).write_text(json.dumps([asdict(run.report) for run in runs]))
    os._exit(0)  # nothing is closed: the connections of forks are among what would be


if __name__ == "__main__":
    from tests.delivery.crash import all_flows  # noqa: F401  they register themselves

    main(sys.argv[1])
