"""The books for people: ledger checks, balances, statements, what closing waits for."""

from billing.store.journal.checks import CHECKS
from billing.store.journal.reads import (
    StatementLine,
    StoredEntry,
    account_statement,
    entry,
    entry_by_source_key,
    trial_balance,
)
from billing.store.subscriptions.cycles import why_open

__all__ = [
    "CHECKS",
    "StatementLine",
    "StoredEntry",
    "account_statement",
    "entry",
    "entry_by_source_key",
    "trial_balance",
    "why_open",
]
