"""Matching: judge the rows read, record breaks, and resolve breaks that are explained."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from billing.flows.breaks import operator
from billing.flows.settlement.step_run import OVERLAP, StepRun
from billing.rules.reconciliation import BreakFound, BreakKind, MovementKind, RowOutcome, RunSource
from billing.rules.refunds import RefundState
from billing.store.identity import engine_id
from billing.store.settlement import batch_breaks, breaks, matching, missing, runs
from billing.store.settlement.batch_breaks import DifferingRow
from billing.store.settlement.matching import Batch
from billing.store.settlement.missing import MissingCapture, MissingRefund
from billing.store.settlement.runs import SettlementRun
from billing.store.settlement.staging import ChangedRow
from billing.store.transactions import allow_memory

BATCH: Final = 20_000
MISSING_BATCH: Final = 1_000


def match(step: StepRun) -> None:
    """Judge all rows that are not matched, of this run and of earlier ones, then look for gaps.

    Every run judges a waiting row and a break again, so that a difference that is explained later
    is resolved without a person.
    """
    while _judge_next(step):
        pass
    if step.run.source is RunSource.PROVIDER or _is_complete(step):
        while _record_missing(step):
            pass


def _judge_next(step: StepRun) -> bool:
    with step.batch() as conn:
        allow_memory(conn)
        batch = matching.lock_batch(
            conn, step.provider, after=step.cursor.get("after", ""), limit=BATCH
        )
        if batch is None:
            explained = batch_breaks.resolve_of_others(conn, step.provider, step.now)
            if explained:
                step.counts["breaks_explained"] += explained
            return False
        passed = matching.pass_over(conn, batch, engine=engine_id(conn), now=step.now)
        if passed:
            step.counts[str(RowOutcome.OTHER_ENGINE)] += passed
            step.counts["breaks_explained"] += batch_breaks.resolve_passed_over(
                conn, batch, step.now
            )
        young_after = step.now - step.context.policy.confirm_grace
        counts = matching.judge(
            conn,
            batch,
            now=step.now,
            young_after=young_after,
            ruled=sorted(step.context.policy.movement_accounts),
        )
        step.counts.update(counts)
        step.counts["rows"] += batch.rows
        step.counts["breaks_new"] += _record(conn, batch, step)
        step.counts["breaks_explained"] += batch_breaks.resolve_explained(conn, batch, step.now)
        step.cursor["after"] = batch.upto
    return True


def _record(conn: Connection, batch: Batch, step: StepRun) -> int:
    rows = batch_breaks.new_breaks(conn, batch)
    found = {row.provider_transaction_id: _difference(row, step.run) for row in rows}
    keys = [difference.dedupe_key for difference in found.values()]
    decided = breaks.decided(conn, step.provider, keys)
    for difference in found.values():
        if (known := decided.get(difference.dedupe_key)) is not None:
            operator.apply_earlier_decision(conn, known, difference, now=step.now)
    return breaks.record_all(conn, found.values(), now=step.now)


def _difference(row: DifferingRow, run: SettlementRun) -> BreakFound:
    kind = row.outcome
    return BreakFound(
        kind=kind,
        subject=_subject(row, kind),
        cycle_id=row.cycle_id,
        payment_id=row.payment_id,
        ours=_ours(row),
        theirs=_theirs(row),
        currency=row.currency,
        provider=run.provider,
        run_id=run.id,
        transaction_id=row.provider_transaction_id,
    )


def _subject(row: DifferingRow, kind: BreakKind) -> str:
    """Return the subject of a break. The list of charges, or the flow of a refund or a dispute,
    uses the same subject for the same difference, so that there is one break.
    """
    if row.kind == MovementKind.CHARGE and row.provider_charge_id:
        return str(row.provider_charge_id)
    if kind in (BreakKind.REFUND_UNKNOWN, BreakKind.DISPUTE_UNKNOWN) and row.source_id:
        return str(row.source_id)
    if kind is BreakKind.REFUND_MISMATCH and row.refund_id is not None:
        return str(row.refund_id)
    return str(row.provider_transaction_id)


def _ours(row: DifferingRow) -> dict[str, Any]:
    """Return our side of a break; money that leaves is negative."""
    payment = None if row.payment_id is None else str(row.payment_id)
    sign = -1 if row.amount < 0 else 1
    if row.refund_id is not None and row.refund_amount is not None:
        if sign < 0 and row.refund_state in (RefundState.FAILED, RefundState.CANCELED):
            sign = 0  # our books have no entry of it
        return {
            "refund": str(row.refund_id),
            "payment": payment,
            "state": row.refund_state,
            "amount": sign * row.refund_amount,
            "currency": row.refund_currency,
        }
    if row.dispute_id is not None and row.dispute_amount is not None:
        return {
            "dispute": str(row.dispute_id),
            "payment": payment,
            "state": row.dispute_state,
            "amount": sign * row.dispute_amount,
            "currency": row.dispute_currency,
        }
    if row.payout_amount is not None:
        return {
            "payout": row.source_id,
            "state": row.payout_status,
            "amount": row.payout_amount,
            "currency": row.payout_currency,
        }
    if payment is None:
        return {}
    return {
        "payment": payment,
        "state": row.payment_state,
        "amount": row.own_amount,
        "currency": row.own_currency,
        "charge": row.own_charge,
    }


def _theirs(row: DifferingRow) -> dict[str, Any]:
    return {
        "balance_transaction": row.provider_transaction_id,
        "category": row.category,
        "source": row.source_id,
        "charge": row.provider_charge_id,
        "payment": row.provider_payment_id,
        "amount": row.amount,
        "fee": row.fee,
        "net": row.net,
        "currency": row.currency,
        "customer_amount": row.customer_amount,
        "customer_currency": row.customer_currency,
        "exchange_rate": None if row.exchange_rate is None else str(row.exchange_rate),
        "created": row.created.isoformat(),
    }


def _shown_otherwise(row: ChangedRow) -> str:
    """Return the subject of a row that is shown otherwise: one break for each other reading."""
    amounts = (row.amount, row.fee, row.currency)
    theirs = (row.their_amount, row.their_fee, row.their_currency)
    category = f":{row.their_category}" if amounts == theirs else ""
    return ":".join([row.provider_transaction_id, *map(str, theirs)]) + category


def changed_rows(rows: Sequence[ChangedRow], run: SettlementRun) -> list[BreakFound]:
    """Return the breaks of transactions that differ from how they were read before."""
    return [
        BreakFound(
            kind=BreakKind.REPORT_MISMATCH,
            subject=_shown_otherwise(row),
            payment_id=row.payment_id,
            ours={
                "balance_transaction": row.provider_transaction_id,
                "category": row.category,
                "amount": row.amount,
                "fee": row.fee,
                "net": row.net,
                "currency": row.currency,
            },
            theirs={
                "balance_transaction": row.provider_transaction_id,
                "category": row.their_category,
                "amount": row.their_amount,
                "fee": row.their_fee,
                "net": row.their_net,
                "currency": row.their_currency,
            },
            currency=row.their_currency,
            provider=run.provider,
            run_id=run.id,
        )
        for row in rows
    ]


# --- what is missing ----------------------------------------------------------------------------


def _is_complete(step: StepRun) -> bool:
    """Tell whether the run's span was read completely; of a report, its importer declares that."""
    with step.context.engine.connect() as conn:
        first = runs.steps(conn, step.run.id)[0]
    return bool(first.cursor.get("complete"))


def _record_missing(step: StepRun) -> int:
    """Record captures and refunds of ours that the provider doesn't show after the grace period."""
    with step.batch() as conn:
        run = runs.get_run(conn, step.run.id)
        since = run.window_from - (OVERLAP if run.source is RunSource.PROVIDER else timedelta(0))
        before = min(run.window_to, step.now - _may_be_missing(step, run))
        captures = missing.captures(
            conn, run.provider, since=since, before=before, limit=MISSING_BATCH
        )
        refunds = missing.refunds(
            conn, run.provider, since=since, before=before, limit=MISSING_BATCH
        )
        found = [_missing_capture(row, run) for row in captures]
        found += [_missing_refund(row, run) for row in refunds]
        new = breaks.record_all(conn, found, now=step.now)
        step.counts[str(BreakKind.MISSING_AT_PROVIDER)] += len(captures)
        step.counts[str(BreakKind.REFUND_MISSING)] += len(refunds)
        step.counts["breaks_new"] += new
    return new


def _may_be_missing(step: StepRun, run: SettlementRun) -> timedelta:
    """Return how long a movement may be missing: the provider's own delay, and the grace period.

    A report that is declared complete has no delay, and is read without the provider.
    """
    grace = step.context.policy.settle_grace
    if run.source is not RunSource.PROVIDER:
        return grace
    return step.context.gateway.capabilities.shown_within + grace


def _missing_capture(row: MissingCapture, run: SettlementRun) -> BreakFound:
    return BreakFound(
        kind=BreakKind.MISSING_AT_PROVIDER,
        subject=row.id,
        cycle_id=row.cycle_id,
        payment_id=row.id,
        ours={
            "payment": str(row.id),
            "state": row.state,
            "amount": row.amount_captured,
            "currency": row.currency,
            "provider_payment": row.provider_payment_id,
            "charge": row.provider_charge_id,
            "captured_at": row.captured_at.isoformat(),
        },
        theirs={"charge_listed": row.confirmed_at is not None, "balance_transaction": None},
        currency=row.currency,
        provider=run.provider,
        run_id=run.id,
    )


def _missing_refund(row: MissingRefund, run: SettlementRun) -> BreakFound:
    return BreakFound(
        kind=BreakKind.REFUND_MISSING,
        subject=row.id,
        payment_id=row.payment_id,
        ours={
            "refund": str(row.id),
            "payment": str(row.payment_id),
            "provider_refund": row.provider_refund_id,
            "amount": -row.amount,
            "currency": row.currency,
            "finished_at": row.finished_at.isoformat(),
        },
        currency=row.currency,
        provider=run.provider,
        run_id=run.id,
    )
