"""A throw-away engine to measure: real servers, a published catalog, and many subscriptions."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import Engine, text

from billing.embedded.servers import EmbeddedPostgres, EmbeddedValkey
from billing.flows.subscriptions import catalog
from billing.plans.load import load_catalog
from billing.store.engine import make_engine
from billing.store.schema import migrate

START = datetime(2026, 1, 1, tzinfo=UTC)
CATALOG = Path(__file__).resolve().parents[1] / "plans" / "catalog"


@dataclass(frozen=True)
class Servers:
    """Running servers with a migrated database and a published catalog."""

    folder: Path
    database_url: str
    redis_url: str
    engine: Engine
    postgres_pid: int
    others: list[psutil.Process] = field(default_factory=list)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start servers of our own, durable as in production, and delete them afterwards."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        postgres, valkey = EmbeddedPostgres(folder), EmbeddedValkey(folder)
        try:
            postgres.start()
            valkey.start()
            url = postgres.url()
            migrate(url)
            engine = make_engine(url)
            catalog.apply(engine, load_catalog(CATALOG), now=START)
            assert postgres.process is not None
            yield Servers(folder, url, valkey.url, engine, postgres.process.pid)
            engine.dispose()
        finally:
            postgres.destroy()
            valkey.destroy()


@contextlib.contextmanager
def sandbox(world: Servers) -> Iterator[str]:
    """Run the sandbox provider in a process of its own, and give its address."""
    port_file = world.folder / "sandbox.port"
    command = [sys.executable, "-m", "billing.sandbox", "--port", "0"]
    command += ["--data", str(world.folder / "sandbox"), "--port-file", str(port_file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not port_file.exists() or not port_file.read_text().strip():
            time.sleep(0.02)
        world.others.append(psutil.Process(process.pid))
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        process.wait()


def environment(world: Servers, provider_url: str) -> dict[str, str]:
    """Return what the processes of the engine are told about this world."""
    return {
        **os.environ,
        "BILLING__DATABASE__URL": world.database_url,
        "BILLING__REDIS__URL": world.redis_url,
        "BILLING__EMBEDDED__DIR": str(world.folder),
        "BILLING__STRIPE__API_KEY": "sk_test_benchmark",
        "BILLING__STRIPE__API_BASE": provider_url,
        "BILLING__STRIPE__RATE_PER_SECOND": "100000",
        "BILLING__LOGS__LEVEL": "error",
    }


_CUSTOMERS = text(
    """
    WITH made AS (
      INSERT INTO customers (id, provider, external_id, name, created_at)
      SELECT gen_random_uuid(), 'stripe', :prefix || g, 'Customer ' || g, :now
        FROM generate_series(1, :count) g
      RETURNING id, external_id)
    INSERT INTO provider_customers (id, customer_id, provider, provider_customer_id, created_at)
    SELECT id, id, 'stripe', 'cus_' || external_id, :now FROM made
    """
)
_SUBSCRIPTIONS = text(
    """
    INSERT INTO subscriptions (id, external_id, customer_id, plan, plan_version, currency,
           quantity, invoice_prefix, status, anchor_local, zone, every, next_n, renews_at,
           created_at)
    SELECT gen_random_uuid(), c.external_id, c.id, 'video-premium', DATE '2026-01-01', 'EUR', 1,
           c.external_id, 'active', CAST(:local AS timestamp), 'Europe/Berlin', '1 month', 0,
           CAST(:local AS timestamp) AT TIME ZONE 'Europe/Berlin', :now
      FROM customers c WHERE c.external_id LIKE :prefix || '%'
    """
)


def add_subscriptions(engine: Engine, prefix: str, count: int, starts: datetime) -> None:
    """Add customers with one monthly subscription each, whose first period starts at `starts`."""
    with engine.begin() as conn:
        conn.execute(_CUSTOMERS, {"prefix": prefix, "count": count, "now": START})
        local = starts.replace(tzinfo=None)
        conn.execute(_SUBSCRIPTIONS, {"prefix": prefix, "local": local, "now": START})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("RESET role")
        conn.exec_driver_sql("ANALYZE")


def cpu_of_tree(process: psutil.Process) -> float:
    """Return the processor seconds of a process and its living children."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
