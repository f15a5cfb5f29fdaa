"""A night's settlement report against as many payments, with anomalies of every kind among them.

All and only the anomalies have to come out as breaks or corrections, in bounded memory.
SETTLEMENT_ROWS says how many rows there are.
"""

import csv
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from sqlalchemy import Engine, text

from benchmarks.world import START, Servers, cpu_of_tree, servers
from billing.flows.context import Context
from billing.flows.policy import Policy
from billing.flows.settlement import report_source, runs
from billing.gateway.registry import report_reader
from billing.gateway.reports import ReportFile
from billing.rules.actor import Actor, ActorKind
from billing.store.settlement import runs as settlement

ROWS: Final = int(os.environ.get("SETTLEMENT_ROWS", "1000000"))
EVERY: Final = 1_000  # one anomaly of each kind in so many payments
RSS_MAX_MB: Final = 300
DAY: Final = START + timedelta(days=30)
NOW: Final = DAY + timedelta(days=3)

# Which payment of a thousand is what; all others agree, and those in REFUNDED were refunded too.
AMOUNT, CURRENCY, FEE, DUPLICATE, MISSING, GAVE_UP, UNHEARD, REFUND_AMOUNT = range(8)
UNKNOWN, REFUND_UNKNOWN = 8, 9
REFUNDED: Final = range(10, 20)
EXCHANGED: Final = range(20, 40)
EXPECTED: Final = {
    "amount_mismatch": AMOUNT,
    "currency_mismatch": CURRENCY,
    "fee_mismatch": FEE,
    "duplicate_charge": DUPLICATE,
    "missing_at_provider": MISSING,
    "refund_mismatch": REFUND_AMOUNT,
    "unknown_at_provider": UNKNOWN,
    "refund_unknown": REFUND_UNKNOWN,
}
HEADER: Final = (
    "automatic_payout_id", "automatic_payout_effective_at_utc", "balance_transaction_id",
    "created_utc", "available_on_utc", "currency", "gross", "fee", "net", "reporting_category",
    "source_id", "description", "customer_facing_amount", "customer_facing_currency",
    "customer_id", "charge_id", "payment_intent_id", "charge_created_utc", "invoice_id",
    "card_brand", "card_funding", "card_country", "statement_descriptor",
)  # fmt: skip


def run() -> None:
    """Print rows a second, time by step, peak memory and what bounds it; assert what came out."""
    with servers() as world:
        _load(world, ROWS)
        report = world.folder / "report.csv"
        size = _write(report, ROWS)
        print(f"{size:,} rows, {report.stat().st_size / 1e6:,.0f} MB, {ROWS:,} payments")
        _measure(world, report, size)


# --- our side, by SQL -----------------------------------------------------------------------------

_SEED = """
SET LOCAL session_replication_role = replica;
SET LOCAL synchronous_commit = off;
INSERT INTO customers (id, provider, name, created_at)
VALUES ('018f0000-0000-7000-8000-000000000001', 'stripe', 'C', now());
INSERT INTO provider_customers (id, customer_id, provider, created_at)
VALUES ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000001',
        'stripe', now());
INSERT INTO payment_methods (id, customer_id, provider_payment_method_id, kind, brand, last4,
                             exp_month, exp_year, created_at)
VALUES ('018f0000-0000-7000-8000-000000000002', '018f0000-0000-7000-8000-000000000001', 'pm_1',
        'card', 'visa', '4242', 12, 2030, now());
INSERT INTO payments (id, customer_id, payment_method_id, amount, currency, state,
                      provider_payment_id, provider_charge_id, amount_captured, amount_refunded,
                      attempt_n, next_attempt_at, next_attempt_kind, dispatch_after, captured_at,
                      created_at, updated_at)
SELECT ('018f0000-0000-7000-8000-1' || lpad(to_hex(g), 11, '0'))::uuid,
       '018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000002',
       1000 + g %% 9000, 'USD', state, 'pi_' || g, CASE WHEN taken THEN 'ch_' || g END,
       CASE WHEN taken THEN 1000 + g %% 9000 ELSE 0 END,
       CASE WHEN k = {refund_amount} OR k BETWEEN 10 AND 19 THEN 500 ELSE 0 END, 1,
       CASE WHEN state = 'CREATED' THEN timestamptz '{day}' END,
       CASE WHEN state = 'CREATED' THEN 'first' END, '1970-01-01',
       CASE WHEN taken THEN timestamptz '{day}' + g %% 80000 * interval '1 s' END, '{day}', '{day}'
  FROM generate_series(0, {last}) g,
       LATERAL (SELECT g %% 1000 AS k) a,
       LATERAL (SELECT CASE k WHEN {gave_up} THEN 'FAILED' WHEN {unheard} THEN 'CREATED'
                              ELSE 'CAPTURED' END AS state) b,
       LATERAL (SELECT state = 'CAPTURED' AS taken) c;
INSERT INTO attempts (payment_id, customer_id, n, kind, payment_method_id, rung, finished_at,
                      outcome)
SELECT id, customer_id, 1, 'first', payment_method_id, 0,
       CASE WHEN state <> 'CREATED' THEN coalesce(captured_at, created_at) END,
       CASE state WHEN 'CAPTURED' THEN 'succeeded' WHEN 'FAILED' THEN 'declined' END
  FROM payments;
INSERT INTO provider_fences (provider, state, since, checked_database, written_by)
VALUES ('stripe', 'open', now(), this_database(), this_transaction());
INSERT INTO provider_calls (subject_id, kind, n, customer_id, provider, idempotency_key, request,
                            first_sent_at, finished_at, outcome, unknown_since)
SELECT p.id, 'charge', 1, p.customer_id, p.provider, 'k:' || p.provider_payment_id, '{{}}',
       coalesce(p.captured_at, p.created_at), a.finished_at, a.outcome,
       CASE WHEN p.state = 'CREATED' THEN p.created_at END
  FROM payments p JOIN attempts a ON a.payment_id = p.id;
INSERT INTO refunds (id, payment_id, customer_id, amount, recognised, deferred, tax, currency,
                     state, reason, requested_by, provider_refund_id,
                     dispatch_after, created_at, finished_at)
SELECT gen_random_uuid(), id, customer_id, 500, 500, 0, 0, 'USD', 'succeeded', 'r', 'r',
       replace(provider_payment_id, 'pi_', 're_'), '1970-01-01',
       '{day}', '{day}'
  FROM payments WHERE amount_refunded > 0;
INSERT INTO ledger.accounts (code, currency, owner_id, provider, class)
VALUES ('psp_clearing', 'USD', NULL, 'stripe', 'A'),
       ('receivable', 'USD', '018f0000-0000-7000-8000-000000000001', NULL, 'A');
INSERT INTO ledger.entries (kind, source_key, payload_hash, effective_at)
SELECT 'payment_captured', 'payment_captured:' || id || ':1', sha256(id::text::bytea), captured_at
  FROM payments WHERE captured_at IS NOT NULL;
INSERT INTO ledger.postings (entry_id, line, account_id, amount, currency)
SELECT e.id, a.id, a.id, CASE a.id WHEN 1 THEN p.amount ELSE -p.amount END, 'USD'
  FROM ledger.entries e
  JOIN payments p ON p.id = split_part(e.source_key, ':', 2)::uuid, generate_series(1, 2) a(id);
"""


def _load(world: Servers, count: int) -> None:
    started = time.perf_counter()
    seed = _SEED.format(
        day=DAY.isoformat(),
        last=count - 1,
        refund_amount=REFUND_AMOUNT,
        gave_up=GAVE_UP,
        unheard=UNHEARD,
    )
    with psycopg.connect(world.database_url) as conn:
        conn.execute(seed.replace("%%", "%").encode())
    with psycopg.connect(world.database_url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
    print(f"loaded {count:,} payments in {time.perf_counter() - started:.0f} s")


# --- the provider's side, as a file ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    id: str
    category: str
    source: str
    charge: str
    intent: str
    gross: int
    fee: int
    created: datetime
    currency: str = "USD"
    shown: int | None = None
    shown_in: str = "USD"

    def cells(self) -> tuple[Any, ...]:
        at = self.created.strftime("%Y-%m-%d %H:%M:%S")
        shown = self.gross if self.shown is None else self.shown
        return (
            "po_1", "2026-02-03 00:00:00", self.id, at, "2026-02-02 00:00:00",
            self.currency.lower(), _major(self.gross), _major(self.fee),
            _major(self.gross - self.fee), self.category, self.source, "Invoice", _major(shown),
            self.shown_in.lower(), "cus_1", self.charge, self.intent, at, "", "visa", "credit",
            "US", "",
        )  # fmt: skip


def _major(amount: int) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def _lines(count: int) -> Iterator[_Line]:
    for g in range(count):
        k, amount = g % EVERY, 1000 + g % 9000
        fee, at = (amount * 29 + 500) // 1000 + 30, DAY + timedelta(seconds=g % 80_000)
        if k != MISSING:
            yield _charge(g, k, amount, fee, at)
        if k == DUPLICATE:
            yield _Line(f"txn_d{g}", "charge", f"ch_d{g}", f"ch_d{g}", f"pi_{g}", amount, fee, at)
        if k == UNKNOWN:
            yield _Line(f"txn_u{g}", "charge", f"ch_u{g}", f"ch_u{g}", f"pi_u{g}", 700, 50, at)
        if k == REFUND_AMOUNT or k in REFUNDED:
            out = -499 if k == REFUND_AMOUNT else -500
            yield _Line(f"txn_r{g}", "refund", f"re_{g}", f"ch_{g}", f"pi_{g}", out, 0, at)
        if k == REFUND_UNKNOWN:
            yield _Line(f"txn_q{g}", "refund", f"re_q{g}", f"ch_{g}", f"pi_{g}", -100, 0, at)


def _charge(g: int, k: int, amount: int, fee: int, at: datetime) -> _Line:
    gross = amount + 1 if k == AMOUNT else amount
    charge, intent = f"ch_{g}", f"pi_{g}"
    if k in EXCHANGED:
        settled = amount * 9 // 10
        return _Line(
            f"txn_{g}", "charge", charge, charge, intent, settled, fee, at, "EUR", amount, "USD"
        )
    return _Line(
        f"txn_{g}",
        "charge",
        charge,
        charge,
        intent,
        gross,
        gross + 1 if k == FEE else fee,
        at,
        shown_in="CAD" if k == CURRENCY else "USD",
    )


def _write(path: Path, count: int) -> int:
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for line in _lines(count):
            writer.writerow(line.cells())
            rows += 1
    return rows


# --- the run --------------------------------------------------------------------------------------


class _Clock:
    """Domain time stands still; real time is measured."""

    def now(self) -> datetime:
        return NOW

    def wall(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  a benchmark measures real time


def _measure(world: Servers, report: Path, rows: int) -> None:
    context = Context(world.engine, Policy(), _Clock())
    postgres, me = psutil.Process(world.postgres_pid), psutil.Process(os.getpid())
    before, mine_before = cpu_of_tree(postgres), me.cpu_times()
    started = time.perf_counter()
    file = ReportFile(report, report_reader("stripe"))
    run_id = report_source.begin(world.engine, "stripe", file, now=NOW, complete=True)
    done = runs.work(run_id, context, report=file, actor=Actor(ActorKind.CLI, "benchmark"))
    seconds = time.perf_counter() - started
    assert (done.state, done.error) == ("succeeded", None), done
    mine_after = me.cpu_times()
    mine = mine_after.user + mine_after.system - mine_before.user - mine_before.system
    server = cpu_of_tree(postgres) - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _print(world.engine, run_id, rows, seconds, mine, server, peak)
    _check(world.engine)
    assert peak < RSS_MAX_MB, f"{peak:.0f} MB of memory at the peak"


def _print(
    engine: Engine,
    run_id: Any,
    rows: int,
    seconds: float,
    mine: float,
    server: float,
    peak: float,
) -> None:
    print(f"settled {rows:,} rows in {seconds:.1f} s: {rows / seconds:,.0f} rows/s")
    with engine.connect() as conn:
        steps = settlement.steps(conn, run_id)
    for step in steps:
        assert step.started_at is not None
        assert step.finished_at is not None
        took = (step.finished_at - step.started_at).total_seconds()
        counts = ", ".join(f"{name} {count:,}" for name, count in step.counts.items() if count)
        print(f"  {step.step:8} {took:7.1f} s  {counts}")
    waiting = max(0.0, seconds - mine - server)
    print(
        f"bound by: Python {mine / seconds:.0%}, PostgreSQL {server / seconds:.0%}, waiting"
        f" {waiting / seconds:.0%}; {(mine + server) / rows * 1e6:.0f} us of processor time a row"
    )
    print(f"peak memory of the process: {peak:.0f} MB (limit {RSS_MAX_MB})")


def _check(engine: Engine) -> None:
    """All and only the anomalies became breaks or corrections, and all others are settled."""
    with engine.connect() as conn:
        conn.execute(text("SET statement_timeout = 0"))
        found: dict[str, set[int]] = {}
        for row in conn.execute(text("SELECT kind, payment_id, theirs FROM breaks")):
            about = row.payment_id or row.theirs["payment"]
            found.setdefault(row.kind, set()).add(_number(str(about)))
        states = conn.execute(_STATES).all()
        corrected = {_number(str(row.payment_id)) for row in conn.execute(_FORCED)}
    for kind, place in EXPECTED.items():
        assert found.pop(kind, set()) == set(range(place, ROWS, EVERY)), kind
    assert not found, f"unexpected breaks: {sorted(found)}"
    assert corrected == {g for g in range(ROWS) if g % EVERY in (GAVE_UP, UNHEARD)}
    left = {AMOUNT, CURRENCY, FEE, MISSING}
    expected = {"CAPTURED": sum(g % EVERY in left for g in range(ROWS))}
    expected["SETTLED"] = ROWS - expected["CAPTURED"]
    assert {row.state: row.n for row in states} == expected, states
    anomalies = (len(EXPECTED) + 2) * len(range(0, ROWS, EVERY))
    print(f"all and only the anomalies came out: {anomalies:,} breaks and corrections")


def _number(about: str) -> int:
    if about.startswith("pi_"):
        return int(about.removeprefix("pi_u").removeprefix("pi_"))
    return int(about[-11:], 16)


_STATES: Final = text("SELECT state, count(*) AS n FROM payments GROUP BY state")
_FORCED: Final = text(
    "SELECT DISTINCT payment_id FROM payment_transitions WHERE cause = 'forced_correction'"
)
