"""The first steps of a run over the provider's own lists: payouts, then balance transactions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from billing.flows.settlement import asking
from billing.flows.settlement.matching import changed_rows
from billing.flows.settlement.step_run import OVERLAP, StepRun
from billing.gateway import BalanceTransaction, Gateway
from billing.gateway.objects import ListedPage, unreadable_in
from billing.store.arrays import literal
from billing.store.settlement import breaks, payouts, staging
from billing.store.settlement.runs import SettlementRun

# A payout that was paid can still fail for days.
PAYOUTS_MAY_CHANGE: Final = timedelta(days=10)


def fetch(step: StepRun) -> None:
    """Record payouts as they are now, back to the oldest that may still change."""
    with step.context.engine.connect() as conn:
        undecided = payouts.oldest_undecided_payout(conn, step.provider)
    since = min(step.run.window_from, step.now - PAYOUTS_MAY_CHANGE)
    if undecided is not None:
        since = min(since, undecided)
    for page in _gateway(step).list_payouts(since=since - OVERLAP):
        with step.batch() as conn:
            columns = {
                "ids": literal([payout.id for payout in page]),
                "amounts": literal([payout.amount.amount for payout in page]),
                "currencies": literal([payout.amount.currency for payout in page]),
                "statuses": literal([str(payout.status) for payout in page]),
                "createds": literal([payout.created for payout in page]),
                "arrivals": literal([payout.arrival for payout in page]),
            }
            step.counts["payouts"] += len(page)
            step.counts["payouts_changed"] += payouts.put_payouts(
                conn, step.provider, step.now, columns
            )
            step.record_unreadable(conn, unreadable_in(page))


def stage(step: StepRun) -> None:
    """Take the window's balance transactions, a page a transaction; the last id is the cursor.

    Then the refunds are asked about that moved otherwise than our books have them.
    """
    gateway = _gateway(step)
    pages = gateway.list_balance_transactions(
        since=step.run.window_from - OVERLAP - gateway.capabilities.movements_lag,
        until=step.run.window_to + OVERLAP,
        after=step.cursor.get("after"),
    )
    for page in pages:
        after = _last_id(page)
        if after is None:
            continue
        with step.batch() as conn:
            merged = staging.stage(conn, _rows(page, step.run))
            differing = changed_rows(merged.changed, step.run)
            breaks.record_all(conn, differing, now=step.now)
            step.record_unreadable(conn, unreadable_in(page))
            step.cursor["after"] = after
            step.counts["read"] += len(page)
            step.counts["new"] += merged.new
    asking.ask(step)


def _last_id(page: Sequence[BalanceTransaction]) -> str | None:
    """Return the last movement of a page, whether it could be read or not."""
    if isinstance(page, ListedPage):
        return page.last_id
    return page[-1].id if page else None


def _gateway(step: StepRun) -> Gateway:
    return step.context.gateway


def _rows(page: Sequence[BalanceTransaction], run: SettlementRun) -> list[dict[str, Any]]:
    return [
        {
            "provider": run.provider,
            "provider_transaction_id": row.id,
            "run_id": run.id,
            "kind": str(row.kind),
            "category": row.category,
            "source_id": row.source_id,
            "provider_payment_id": row.provider_payment_id,
            "provider_charge_id": row.provider_charge_id,
            "amount": row.amount,
            "fee": row.fee,
            "net": row.net,
            "currency": row.currency,
            "customer_amount": None if row.customer_money is None else row.customer_money.amount,
            "customer_currency": None
            if row.customer_money is None
            else row.customer_money.currency,
            "exchange_rate": row.exchange_rate,
            "provider_payout_id": row.payout_id,
            "created": row.created,
            "available_on": row.available_on,
            "metadata": dict(row.metadata),
        }
        for row in page
    ]
