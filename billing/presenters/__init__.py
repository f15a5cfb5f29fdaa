"""Sentences from facts, the same for every reader: pure, each noun a file."""

__all__ = [
    "break_causes",
    "catalog",
    "decisions",
    "event_outcomes",
    "explain",
    "findings",
    "ledger_findings",
    "parking",
    "recovery",
    "tie_out",
    "timeline",
]
