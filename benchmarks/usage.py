"""How fast usage is counted by two processes, one of which is killed on its way, or several times.

Each writer sends batches that follow from its number and theirs alone: of a thousand events ten
were sent before, one is twenty days late, and none is in order. The one that is killed goes on with
the batch that nobody answered. At the end every event is counted once: their number, and the sum of
their ids, are those that follow from the batches. The tenth promise of `billing prove` is checked,
too.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import SpawnProcess
from pathlib import Path
from uuid import UUID

import psutil
from sqlalchemy import Engine, text

from benchmarks.world import START, Servers, add_subscriptions, cpu_of_tree, servers
from billing.flows.cycles.collecting import collected_later
from billing.flows.cycles.opening import open_due_cycles
from billing.flows.policy import Policy
from billing.flows.prove import PromiseResult, prove_counted_once
from billing.flows.subscriptions import catalog
from billing.flows.usage.book import UsageBook
from billing.flows.usage.ingesting import ingest
from billing.plans.load import load_catalog
from billing.presenters.findings import in_words
from billing.rules.usage_rows import read_lines
from billing.store.engine import make_engine

WRITERS = 2
SECONDS = 10.0
SUBSCRIPTIONS = 2_000
BATCH = 1_000
REPEATED = 10
LATE = 1
NOW = START + timedelta(days=45)
IDS = 2**128
CATALOG = """
product = "Search"

[[meter]]
code = "searches"
event = "search"
aggregate = "sum"
value = "n"

[[plan]]
code = "metered"
every = "1 month"
  [[plan.version]]
  effective = 2026-01-01
    [[plan.version.item]]
    code = "searches"
    meter = "searches"
    unit = { EUR = "0.001" }
"""
_METERED = text("UPDATE subscriptions SET plan = 'metered', plan_version = DATE '2026-01-01'")
_COUNTED = text("SELECT sum(events) AS events, sum(id_sum) AS id_sum FROM usage_totals")


@dataclass(frozen=True)
class Writer:
    """What a writer is told: where it writes, which one it is, and since when it may send."""

    url: str
    number: int
    acknowledged: Path
    deadline: float
    rate: float | None


def run(seconds: float = SECONDS, rate: float | None = None, kills: int = 1) -> None:
    """Print how many events a second are counted, what bounds it, and whether each counts once."""
    with servers() as world:
        _prepare(world)
        _measure(world, seconds, rate, kills)


def _prepare(world: Servers) -> None:
    (world.folder / "metered.toml").write_text(CATALOG)
    catalog.apply(world.engine, load_catalog(world.folder / "metered.toml"), now=START)
    add_subscriptions(world.engine, "use", SUBSCRIPTIONS, START)
    with world.engine.begin() as conn:
        conn.execute(_METERED)
        conn.execute(
            text("SELECT make_usage_days(:first, :last)"),
            {"first": (NOW - timedelta(days=25)).date(), "last": (NOW + timedelta(days=2)).date()},
        )
    for month in range(2):
        now = START + timedelta(days=1 + 32 * month)
        while open_due_cycles(world.engine, now=now, limit=500, policy=Policy()).opened:
            pass


def _measure(world: Servers, seconds: float, rate: float | None, kills: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    files = [world.folder / f"acknowledged-{n}" for n in range(WRITERS)]
    deadline = time.monotonic() + seconds + 3
    told = [
        Writer(world.database_url, n, file, deadline, rate and rate / WRITERS)
        for n, file in enumerate(files)
    ]
    writers = [spawn.Process(target=_write, args=(each,)) for each in told]
    postgres = psutil.Process(world.postgres_pid)
    before = _cpu(postgres)
    for each in writers:
        each.start()
    for nth in range(kills):
        n = nth % WRITERS
        at = deadline - seconds * (kills - nth) / (kills + 1)
        writers[n] = _killed(spawn, writers[n], told[n], at)
    for each in writers:
        each.join()
    time.sleep(0.5)  # the server still waits for the processes that served the writers
    server = _cpu(postgres) - before
    lines = [line for file in files for line in file.read_text().splitlines()]
    sent = [tuple(map(float, line.split())) for line in lines]
    _tell(world.engine, [_last(file) for file in files], sent, server, kills)


def _cpu(postgres: psutil.Process) -> float:
    """Return the processor seconds of the server, with those of processes that ended."""
    ended = postgres.cpu_times()
    return cpu_of_tree(postgres) + ended.children_user + ended.children_system


def _killed(
    spawn: multiprocessing.context.SpawnContext,
    writer: SpawnProcess,
    told: Writer,
    at: float,
) -> SpawnProcess:
    """Kill a writer at an instant, in the middle of a batch, and start another in its place."""
    while not told.acknowledged.exists() or _last(told.acknowledged) < 3:
        time.sleep(0.01)
    time.sleep(max(0.0, at - time.monotonic()))
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, "it was working until then"
    again = spawn.Process(target=_write, args=(told,))
    again.start()
    return again


def _last(acknowledged: Path) -> int:
    """Return the number of the next batch that isn't acknowledged."""
    lines = acknowledged.read_text().splitlines()
    return int(lines[-1].split()[0]) + 1 if lines else 0


def _write(told: Writer) -> None:
    """Send batches until the deadline, one at least, and note each one that was answered."""
    engine, book = make_engine(told.url), UsageBook()
    number = _last(told.acknowledged) if told.acknowledged.exists() else 0
    with told.acknowledged.open("a") as noted:
        # Whoever starts late still sends the batch that nobody answered: it may be counted.
        is_over = False
        while not is_over:
            body = "\n".join(json.dumps(event) for event in _events(told.number, number))
            began, used = time.monotonic(), time.process_time()
            with collected_later():
                answer = ingest(engine, book, list(read_lines(body)), NOW)
            took, used = time.monotonic() - began, time.process_time() - used
            assert not answer.refused, answer.refused[0]
            assert not answer.conflicting
            memory = psutil.Process().memory_info().rss
            noted.write(f"{number} {began} {took} {used} {answer.accepted} {memory}\n")
            noted.flush()
            number += 1
            if told.rate:
                time.sleep(max(0.0, BATCH / told.rate - (time.monotonic() - began)))
            is_over = time.monotonic() >= told.deadline
    engine.dispose()


def _ids(writer: int, number: int) -> list[UUID]:
    """Return the ids of the events that a batch has of its own."""
    chance = random.Random(f"{writer} {number}")
    return [UUID(int=chance.getrandbits(128), version=4) for _ in range(BATCH - REPEATED)]


def _events(writer: int, number: int) -> Iterator[dict[str, object]]:
    """Yield the events of a batch: in any order, a few late, a few of a batch before."""
    before = max(0, number - 1)
    again = list(_of_batch(writer, before))[:REPEATED] if number else []
    events = [*_of_batch(writer, number), *again]
    random.Random(number).shuffle(events)
    yield from events


def _of_batch(writer: int, number: int) -> Iterator[dict[str, object]]:
    chance = random.Random(f"{number} {writer}")
    for place, one in enumerate(_ids(writer, number)):
        ago = timedelta(seconds=chance.randrange(3_600))
        at = NOW - ago - (timedelta(days=20) if place < LATE else timedelta(0))
        yield {
            "id": str(one),
            "event": "search",
            "subscription": f"use{1 + chance.randrange(SUBSCRIPTIONS)}",
            "at": at.isoformat(),
            "properties": {"n": chance.randrange(1_000) / 8, "region": "eu"},
        }


def _tell(
    engine: Engine,
    batches: Sequence[int],
    sent: Sequence[tuple[float, ...]],
    server: float,
    kills: int,
) -> None:
    accepted = sum(line[4] for line in sent)
    began, ended = min(line[1] for line in sent), max(line[1] + line[2] for line in sent)
    seconds, mine = ended - began, sum(line[3] for line in sent)
    times = sorted(line[2] for line in sent)
    print(
        f"counted {accepted:,.0f} events in {seconds:.1f} s: {accepted / seconds:,.0f} a second by"
        f" {WRITERS} writers in batches of {BATCH} (fsync on, killed {kills} time(s))"
    )
    print(
        f"a batch takes {times[len(times) // 2] * 1e3:.0f} ms (median),"
        f" {times[int(len(times) * 0.99)] * 1e3:.0f} ms (99 of 100)"
    )
    print(
        f"processor time for each event: {mine / accepted * 1e6:.1f} us of a writer,"
        f" {server / accepted * 1e6:.1f} us of PostgreSQL;"
        f" {accepted / (mine + server):,.0f} events per processor second"
    )
    print(
        f"so two such processors count {2 * accepted / (mine + server):,.0f} events a second"
        " at most, where the disk keeps up"
    )
    tenth = max(1, len(sent) // 10)
    by_time = sorted(sent, key=lambda line: line[1])
    early, late = (
        max(line[5] for line in part) / 2**20 for part in (by_time[:tenth], by_time[-tenth:])
    )
    print(f"memory of a writer: {early:.0f} MB in the first tenth, {late:.0f} MB in the last")
    number = ids = 0
    for n, count in enumerate(batches):
        for k in range(count):
            own = _ids(n, k)
            number, ids = number + len(own), (ids + sum(one.int for one in own)) % IDS
    with engine.connect() as conn:
        found = conn.execute(_COUNTED).one()
    right = (number, ids)
    assert (int(found.events), int(found.id_sum) % IDS) == right, (
        "an event is lost, or counts twice"
    )
    print(f"each of {number:,} events is counted once, by their number and fingerprint")
    began = time.monotonic()
    proved = prove_counted_once(engine)
    _tell_of_promise(proved, time.monotonic() - began)
    assert proved.holds


def _tell_of_promise(proved: PromiseResult, seconds: float) -> None:
    verdict = "holds" if proved.holds else f"{len(proved.findings)} FINDINGS"
    checked = ", ".join(f"{count:,} {what}" for what, count in proved.checked.items())
    print(f"promise {proved.promise}: {verdict}  {proved.title} ({checked}; {seconds:.1f} s)")
    for found in proved.findings[:20]:
        print(f"  {in_words(found)}")


def main(arguments: Sequence[str]) -> int:
    """Measure for some seconds, as fast as it goes or at a rate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=float, help="events a second, of all writers together")
    parser.add_argument("--kills", type=int, default=1, help="How often a writer is killed.")
    given = parser.parse_args(arguments)
    run(given.seconds, given.rate, given.kills)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
