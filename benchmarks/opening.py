"""How fast cycles are opened, and that the size of the subscription base does not matter."""

import os
import statistics
import time
from datetime import timedelta

import psutil
from sqlalchemy import Engine

from benchmarks.world import START, Servers, add_subscriptions, cpu_of_tree, servers
from billing.flows.cycles.opening import open_due_cycles
from billing.flows.policy import Policy

DUE = 1_000
BASE = 100_000
RATE_CYCLES = 20_000
BATCH = 500
ROUNDS = 5


def run() -> None:
    """Print the opening rate with what bounds it, and the ratio of a large base to a small one."""
    with servers() as small:
        alone = _due_only(small.engine, 0)
    with servers() as large:
        add_subscriptions(large.engine, "later", BASE - DUE, START + timedelta(days=20))
        among = _due_only(large.engine, 0)
    print(f"opening {DUE} due cycles of {DUE} subscriptions:    {alone * 1000:8.1f} ms")
    print(f"opening {DUE} due cycles of {BASE} subscriptions: {among * 1000:8.1f} ms")
    print(f"ratio large / small base: {among / alone:.2f}")
    with servers() as world:
        _rate(world)


def _due_only(engine: Engine, first: int) -> float:
    """Return the median time of opening DUE cycles, over rounds on fresh subscriptions."""
    times = []
    for number in range(first, first + ROUNDS):
        add_subscriptions(engine, f"due{number}-", DUE, START)
        started = time.perf_counter()
        _open_all(engine)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _open_all(engine: Engine) -> int:
    opened = 0
    now = START + timedelta(hours=1)
    while batch := open_due_cycles(engine, now=now, limit=BATCH, policy=Policy()).opened:
        opened += batch
    return opened


def _rate(world: Servers) -> None:
    add_subscriptions(world.engine, "rate", RATE_CYCLES, START)
    postgres = psutil.Process(world.postgres_pid)
    me = psutil.Process(os.getpid())
    server_before, mine_before = cpu_of_tree(postgres), me.cpu_times()
    started = time.perf_counter()
    opened = _open_all(world.engine)
    seconds = time.perf_counter() - started
    mine_after = me.cpu_times()
    mine = mine_after.user + mine_after.system - mine_before.user - mine_before.system
    server = cpu_of_tree(postgres) - server_before
    print(
        f"opened {opened} cycles in {seconds:.2f} s: {opened / seconds:,.0f} cycles/s on one"
        f" connection (batches of {BATCH}, fsync on)"
    )
    waiting = max(0.0, seconds - mine - server)
    print(
        f"bound by: Python {mine / seconds:.0%}, PostgreSQL {server / seconds:.0%},"
        f" waiting (disk, other processes) {waiting / seconds:.0%};"
        f" {(mine + server) / opened * 1e6:.0f} us of processor time a cycle,"
        f" {opened / (mine + server):,.0f} cycles per processor second"
    )
