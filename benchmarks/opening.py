"""How fast cycles are opened, and that the size of the subscription base does not matter."""

import multiprocessing
import os
import statistics
import time
from datetime import timedelta

import psutil
from sqlalchemy import Engine, text

from benchmarks.world import START, Servers, add_subscriptions, cpu_of_tree, servers
from billing.flows.cycles.opening import open_due_cycles
from billing.flows.policy import Policy
from billing.flows.subscriptions import catalog
from billing.plans.load import load_catalog
from billing.store.engine import make_engine

DUE = 1_000
BASE = 100_000
RATE_CYCLES = 20_000
RICH_CYCLES = 3_000
BATCH = 500
ROUNDS = 5
IN_OWN_SERIES = Policy()
IN_ONE_SERIES = Policy(numbering="series")

SUITE = (
    """
product = "Suite"

[[plan]]
code = "suite"
every = "1 month"

  [[plan.version]]
  effective = 2026-01-01

    [[plan.version.item]]
    code = "base"
    price = { EUR = "99.00" }
"""
    + "".join(
        f"""
    [[plan.version.item]]
    code = "item-{n}"
    per = "seat"
    quantity = {{ min = 0, max = 5000, default = 5 }}
    tiers = "{"graduated" if n % 2 else "volume"}"
    tier = [ {{ up_to = 5, unit = {{ EUR = "1.25" }} }},
             {{ up_to = 50, unit = {{ EUR = "1.10" }} }},
             {{ unit = {{ EUR = "0.0{n}" }} }} ]
"""
        for n in range(1, 10)
    )
    + """
[[coupon]]
code = "spring"
percent = "15"
for = "3 invoices"

[[coupon]]
code = "gift"
amount = { EUR = "20.00" }
for = "forever"
"""
)
_OF_THE_SUITE = text("UPDATE subscriptions SET plan = 'suite' WHERE external_id LIKE 'suite%'")
_ITEMS = text(
    "INSERT INTO subscription_items (subscription_id, item, quantity)"
    " SELECT s.id, i, 1 + length(i) * 7 FROM subscriptions s, unnest(CAST(:items AS text[])) i"
    "  WHERE s.plan = 'suite'"
)
_REDEEMED = text(
    "INSERT INTO redemptions (id, coupon, digest, customer_id, subscription_id, at, actor)"
    " SELECT gen_random_uuid(), c.code, c.digest, s.customer_id, s.id, :now, 'benchmark'"
    "   FROM subscriptions s, coupons c"
    "  WHERE s.plan = 'suite' AND c.code = ANY(CAST(:coupons AS text[]))"
)


_AT_INSTANTS_OF_THEIR_OWN = text(
    "UPDATE subscriptions s SET anchor_local = s.anchor_local + x.after,"
    "       renews_at = s.renews_at + x.after"
    "  FROM (SELECT id, row_number() OVER () * interval '0.1 seconds' AS after"
    "          FROM subscriptions WHERE external_id LIKE 'spread%') x WHERE s.id = x.id"
)


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
        _rate_of_own_instants(world)
        _rate_in_a_series(world)
        _rate_of_ten_lines(world)


def _due_only(engine: Engine, first: int) -> float:
    """Return the median time of opening DUE cycles, over rounds on fresh subscriptions."""
    times = []
    for number in range(first, first + ROUNDS):
        add_subscriptions(engine, f"due{number}-", DUE, START)
        started = time.perf_counter()
        open_all(engine)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def open_all(engine: Engine, policy: Policy = IN_OWN_SERIES) -> int:
    """Open all that is due an hour after the start; return how many cycles."""
    opened = 0
    now = START + timedelta(hours=1)
    while batch := open_due_cycles(engine, now=now, limit=BATCH, policy=policy).opened:
        opened += batch
    return opened


def _rate(world: Servers) -> None:
    add_subscriptions(world.engine, "rate", RATE_CYCLES, START)
    _measured(world, "cycles")


def _rate_of_own_instants(world: Servers) -> None:
    """Open cycles of which no two begin at one instant, so that no two are billed alike."""
    add_subscriptions(world.engine, "spread", RATE_CYCLES, START)
    with world.engine.begin() as conn:
        conn.execute(_AT_INSTANTS_OF_THEIR_OWN)
    _measured(world, "cycles that begin at instants of their own")


def _rate_in_a_series(world: Servers) -> None:
    """Open cycles whose invoices have numbers of one series, one scheduler and two at once."""
    add_subscriptions(world.engine, "series", RATE_CYCLES, START)
    _measured(world, "cycles numbered in one series", IN_ONE_SERIES)
    for policy in (IN_OWN_SERIES, IN_ONE_SERIES):
        add_subscriptions(world.engine, f"two-{policy.numbering}", RATE_CYCLES, START)
        started = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(2) as schedulers:
            opened = sum(schedulers.starmap(_scheduler, [(world.database_url, policy)] * 2))
        seconds = time.perf_counter() - started
        print(
            f"two schedulers opened {opened} cycles in {seconds:.2f} s, with their start,"
            f" numbering = {policy.numbering}: {opened / seconds:,.0f} a second"
        )


def _scheduler(url: str, policy: Policy) -> int:
    engine = make_engine(url)
    opened = open_all(engine, policy)
    engine.dispose()
    return opened


def _rate_of_ten_lines(world: Servers) -> None:
    """Open cycles whose invoices have ten lines and two coupons."""
    sell_suite(world, RICH_CYCLES)
    _measured(world, "invoices of ten lines and two coupons")


def sell_suite(world: Servers, count: int) -> None:
    """Add subscriptions whose invoices have ten lines and two coupons."""
    (world.folder / "suite.toml").write_text(SUITE)
    catalog.apply(world.engine, load_catalog(world.folder / "suite.toml"), now=START)
    add_subscriptions(world.engine, "suite", count, START)
    with world.engine.begin() as conn:
        conn.execute(_OF_THE_SUITE)
        conn.execute(_ITEMS, {"items": [f"item-{n}" for n in range(1, 10)]})
        conn.execute(_REDEEMED, {"coupons": ["spring", "gift"], "now": START})


def _measured(world: Servers, what: str, policy: Policy = IN_OWN_SERIES) -> None:
    postgres = psutil.Process(world.postgres_pid)
    me = psutil.Process(os.getpid())
    server_before, mine_before = cpu_of_tree(postgres), me.cpu_times()
    started = time.perf_counter()
    opened = open_all(world.engine, policy)
    seconds = time.perf_counter() - started
    mine_after = me.cpu_times()
    mine = mine_after.user + mine_after.system - mine_before.user - mine_before.system
    server = cpu_of_tree(postgres) - server_before
    print(
        f"opened {opened} {what} in {seconds:.2f} s: {opened / seconds:,.0f} a second on one"
        f" connection (batches of {BATCH}, fsync on)"
    )
    waiting = max(0.0, seconds - mine - server)
    print(
        f"bound by: Python {mine / seconds:.0%}, PostgreSQL {server / seconds:.0%},"
        f" waiting (disk, other processes) {waiting / seconds:.0%};"
        f" {(mine + server) / opened * 1e6:.0f} us of processor time each,"
        f" {opened / (mine + server):,.0f} per processor second"
    )
