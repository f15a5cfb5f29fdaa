"""How fast one worker process charges through the sandbox, and what bounds it."""

import subprocess
import sys
import time
from datetime import timedelta

import psutil
from sqlalchemy import Engine, text

from benchmarks.world import START, Servers, cpu_of_tree, environment, sandbox, servers
from billing.config import load_settings
from billing.flows.customers import customers
from billing.flows.cycles import opening
from billing.flows.payments import collecting
from billing.flows.subscriptions.subscribing import SubscriptionOrder, subscribe
from billing.rules.actor import Actor, ActorKind
from billing.store import clock as stored
from billing.workers.runtime.broker import enqueue
from billing.workers.runtime.runtime import Runtime

CUSTOMERS = 200
SUBSCRIPTIONS_EACH = 15
WORKER = "from billing.workers.roles import run_role;"
WORKER += "from billing.config import load_settings; import os;"
WORKER += "run_role('worker', load_settings(None, os.environ))"


def run() -> None:
    """Print captures a second of one worker process, and where the processor time went."""
    with servers() as world, sandbox(world) as url:
        env = environment(world, url)
        runtime = Runtime(load_settings(None, env))
        _due_payments(runtime)
        ids = collecting.dispatch_due(runtime.context, limit=CUSTOMERS * SUBSCRIPTIONS_EACH)
        for payment_id in ids:
            enqueue(runtime.broker, payment_id)
        _measure(world, runtime.engine, env, len(ids))
        runtime.close()


def _due_payments(runtime: Runtime) -> None:
    with runtime.engine.begin() as conn:
        stored.put(conn, START)
    for number in range(CUSTOMERS):
        reference = f"bench-{number}"
        customers.create(
            runtime.context,
            name=reference,
            external_id=reference,
            payment_method="pm_card_visa",
        )
        for _ in range(SUBSCRIPTIONS_EACH):
            order = SubscriptionOrder(customer=reference, plan="video-premium", currency="EUR")
            subscribe(runtime.engine, order, actor=Actor(ActorKind.CLI), now=START)
    while opening.open_due_cycles(
        runtime.engine, now=START, limit=500, policy=runtime.policy
    ).opened:
        pass


_LEFT = text("SELECT count(*) FROM payments WHERE state = 'CREATED'")


def _left(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.execute(_LEFT).scalar_one())


def _measure(world: Servers, engine: Engine, env: dict[str, str], count: int) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=env)
    try:
        while _left(engine) > count - 100:  # warm: connections made, statements prepared
            time.sleep(0.02)
        parts = {
            "worker": psutil.Process(worker.pid),
            "PostgreSQL": psutil.Process(world.postgres_pid),
            "sandbox": world.others[0],
        }
        before = {name: cpu_of_tree(process) for name, process in parts.items()}
        first, started = _left(engine), time.perf_counter()
        while (left := _left(engine)) > 0:
            time.sleep(0.05)
        seconds = time.perf_counter() - started
        spent = {name: cpu_of_tree(process) - before[name] for name, process in parts.items()}
    finally:
        worker.terminate()
        worker.wait()
    done = first - left
    print(
        f"captured {done} payments in {seconds:.1f} s: {done / seconds:.0f} a second with one"
        f" worker process, {timedelta(seconds=seconds / done * 8).total_seconds() * 1000:.0f} ms"
        " each on 8 threads"
    )
    shares = ", ".join(
        f"{name} {used / seconds:.0%} of a core ({used / done * 1000:.1f} ms a charge)"
        for name, used in spent.items()
    )
    print(f"bound by the busiest of: {shares}")
