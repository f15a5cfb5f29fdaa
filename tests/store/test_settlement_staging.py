"""Two sources that bring the same transactions at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from billing.rules.reconciliation import RunSource
from billing.store.settlement import runs, staging
from tests.waiting import PATIENCE

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = 3_000


def row(run_id: UUID, n: int) -> dict[str, Any]:
    return {
        "provider": "stripe",
        "provider_transaction_id": f"txn_{n:06}",
        "run_id": run_id,
        "kind": "fee",
        "category": "fee",
        "source_id": None,
        "provider_payment_id": None,
        "provider_charge_id": None,
        "amount": -100,
        "fee": 0,
        "net": -100,
        "currency": "USD",
        "customer_amount": None,
        "customer_currency": None,
        "exchange_rate": None,
        "provider_payout_id": None,
        "created": NOW,
        "available_on": None,
        "metadata": {},
    }


def test_two_sources_in_opposite_orders_are_staged_at_once(engine: Engine) -> None:
    """Neither waits for what the other one holds: they take transactions in one order."""
    with engine.begin() as conn:
        run_id = runs.start(
            conn,
            provider="stripe",
            source=RunSource.PROVIDER,
            reference="r",
            window_from=NOW - timedelta(days=1),
            window_to=NOW,
            now=NOW,
        )
    together = Barrier(2)

    def stage(turn: int, backwards: bool) -> int:
        numbers = range(turn * ROWS, (turn + 1) * ROWS)
        rows = [row(run_id, n) for n in (reversed(numbers) if backwards else numbers)]
        together.wait(PATIENCE)
        with engine.begin() as conn:
            return staging.stage(conn, rows).new

    new = 0
    with ThreadPoolExecutor(2) as both:
        for turn in range(8):
            sides = [both.submit(stage, turn, backwards) for backwards in (False, True)]
            new += sum(side.result(PATIENCE) for side in sides)

    with engine.connect() as conn:
        staged = conn.execute(text("SELECT count(*) FROM settlement_rows")).scalar_one()
    assert new == staged == 8 * ROWS
