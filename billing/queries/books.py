"""The books for people: ledger checks, balances, statements, what closing waits for."""

from billing.store.journal.checks import CHECKS
from billing.store.journal.reads import StatementLine, account_statement, trial_balance
from billing.store.subscriptions.cycles import why_open

__all__ = [
    "CHECKS",
    "StatementLine",
    "account_statement",
    "trial_balance",
    "why_open",
]
