"""Settlement runs, the rows that they read, matching, breaks, exchanges and the tie-out."""

__all__ = [
    "batch_breaks",
    "breaks",
    "charge_list",
    "exchanges",
    "matching",
    "missing",
    "payout_sums",
    "payouts",
    "rows",
    "runs",
    "staging",
    "tie_out",
    "to_ask",
    "windows",
]
