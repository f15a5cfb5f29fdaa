"""Subscriptions: started, canceled, paused, resumed, released; and their catalog."""

__all__ = [
    "catalog",
    "change_invoices",
    "change_quotes",
    "changed_terms",
    "changing",
    "cheaper_usage",
    "lifecycle",
    "naming",
    "reanchoring",
    "releasing",
    "retrying",
    "subscribing",
]
