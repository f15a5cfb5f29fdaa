"""Queries that look for rows that break a promise, for `billing prove`."""

__all__ = [
    "closed_agrees",
    "counted",
    "credit",
    "discounted",
    "every_penny",
    "held",
    "invoiced",
    "metered",
    "noted",
    "nothing_abandoned",
    "one_capture",
    "one_cycle",
    "references",
    "running",
    "taxed",
]
