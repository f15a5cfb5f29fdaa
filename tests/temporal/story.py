"""One night, whoever drives it: two customers paid, and the provider took what nobody knows of."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from billing.config import load_settings
from billing.flows.prove import prove
from billing.store.journal.reads import trial_balance
from billing.workers.daemons.reconciler import Reconciler
from billing.workers.runtime.metrics import ProcessMetrics
from billing.workers.runtime.runtime import Runtime
from tests.cli.world import START, World
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Books:
    """What a night leaves behind."""

    balances: dict[str, int]
    breaks: list[str]
    closed: int
    payments: list[str]


# Of two periods at 9.99 USD the provider keeps 2.9 % and 0.30 USD each; its 7.00 USD are a break.
SETTLED = Books(
    balances={"psp_clearing": 1880, "psp_fees": 118, "receivable": 0, "deferred_revenue": -1998},
    breaks=["unknown_at_provider"],
    closed=2,
    payments=["SETTLED", "SETTLED"],
)


def evening(world: World) -> None:
    """Let two customers pay and the reconciler confirm it; nothing is settled yet."""
    world.subscribed("ada", "video-basic")
    world.subscribed("bob", "video-basic")
    world.at(START)
    tick(world, driver="external")
    requests.post(
        f"{world.sandbox_url}/_sandbox/payment_intents",
        json={"amount": 700, "currency": "usd"},
        timeout=PATIENCE,
    ).raise_for_status()


def tick(world: World, *, driver: str) -> None:
    """Let the reconciler do what it does at a tick, where it drives or somebody else does."""
    env = {**world.env, "BILLING__RECONCILER__DRIVER": driver}
    settings = load_settings(world.folder / "config.toml", env)
    with closing(Runtime(settings)) as runtime:
        Reconciler(runtime, ProcessMetrics(CollectorRegistry(), "reconciler", "test")).tick()


def books(world: World) -> Books:
    """Return what is in the books, of which every promise has to hold."""
    with closing(world.runtime()) as runtime:
        with runtime.engine.connect() as conn:
            found = Books(
                balances={
                    row.code: row.balance for row in trial_balance(conn) if row.currency == "USD"
                },
                breaks=_column(conn, "SELECT kind FROM breaks ORDER BY kind"),
                closed=len(_column(conn, "SELECT id FROM cycles WHERE state = 'closed'")),
                payments=_column(conn, "SELECT state FROM payments ORDER BY id"),
            )
        assert [each.promise for each in prove(runtime.engine, START) if not each.holds] == []
    return found


def _column(conn: Any, query: str) -> list[str]:
    return [str(value) for value in conn.execute(text(query)).scalars()]


def steps_done(world: World) -> list[str]:
    """Return the steps of the night's run that are done, in their order."""
    runtime = world.runtime()
    try:
        with runtime.engine.connect() as conn:
            query = (
                "SELECT step FROM reconciliation_steps WHERE state = 'succeeded' ORDER BY position"
            )
            return _column(conn, query)
    finally:
        runtime.close()


NIGHT: datetime = START
