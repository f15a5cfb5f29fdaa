"""Sentences from facts, the same for every reader: pure, each noun a file."""

__all__ = [
    "acts",
    "break_causes",
    "break_notes",
    "break_sides",
    "catalog",
    "changes",
    "credit_notes",
    "decisions",
    "event_outcomes",
    "exchanges",
    "explain",
    "findings",
    "ledger_findings",
    "parking",
    "prices",
    "recovery",
    "text",
    "tie_out",
    "timeline",
    "usage_refusals",
]
