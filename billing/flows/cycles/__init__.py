"""Billing cycles: opened once a period, skipped or paused where nothing is due, closed when all
sides agree.
"""

__all__ = [
    "arrears",
    "bought",
    "charging",
    "closing",
    "closing_usage",
    "collecting",
    "comparing_segments",
    "crediting",
    "deciding",
    "digest",
    "digest_repair",
    "earning",
    "ending",
    "external_taxes",
    "held_terms",
    "holding",
    "issuing",
    "metering",
    "opening",
    "recognition",
    "recomputing",
    "serving",
    "skipping",
    "tax_records",
    "taxing",
    "usage_alerts",
]
