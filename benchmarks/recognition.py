"""How fast revenue is earned day by day, of invoices with one line and with ten."""

import os
import time
from datetime import datetime, timedelta

import psutil
from sqlalchemy import text

from benchmarks.opening import open_all, sell_suite
from benchmarks.world import START, Servers, add_subscriptions, cpu_of_tree, servers
from billing.flows.cycles import recognition
from billing.flows.policy import Policy

INVOICES = 5_000
OF_TEN_LINES = 1_000
BATCH = 500
DAYS = 5
DAILY = Policy(recognise="daily")


def run() -> None:
    """Print how many invoices a second earn their day, and what bounds it."""
    with servers() as world:
        add_subscriptions(world.engine, "one", INVOICES, START)
        open_all(world.engine)
        _measured(world, "invoices of one line", START + timedelta(days=1))
    with servers() as world:
        sell_suite(world, OF_TEN_LINES)
        open_all(world.engine)
        _measured(world, "invoices of ten lines", START + timedelta(days=1))


def _measured(world: Servers, what: str, first: datetime) -> None:
    with world.engine.begin() as conn:
        conn.execute(text("UPDATE invoices SET recognise_at = :at"), {"at": first})
    postgres, me = psutil.Process(world.postgres_pid), psutil.Process(os.getpid())
    server_before, mine_before = cpu_of_tree(postgres), me.cpu_times()
    started = time.perf_counter()
    earned = 0
    for day in range(DAYS):
        now = first + timedelta(days=day)
        earned += recognition.run(world.engine, now=now, batch=BATCH, policy=DAILY).earned
    seconds = time.perf_counter() - started
    mine_after = me.cpu_times()
    mine = mine_after.user + mine_after.system - mine_before.user - mine_before.system
    server = cpu_of_tree(postgres) - server_before
    print(
        f"earned {DAYS} days of {earned // DAYS} {what} in {seconds:.2f} s: Python"
        f" {mine / earned * 1e6:.0f} us, PostgreSQL {server / earned * 1e6:.0f} us of processor"
        f" time for an invoice's day, {earned / (mine + server):,.0f} per processor second"
    )
