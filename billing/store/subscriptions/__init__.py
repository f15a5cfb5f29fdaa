"""Customers, plans, add-ons, coupons, subscriptions and their cycles."""

__all__ = [
    "addons",
    "changes",
    "coupons",
    "customers",
    "cycles",
    "digest",
    "item_changes",
    "items",
    "parking",
    "plans",
    "redemptions",
    "referred",
    "segments",
    "subscriptions",
    "tax_facts",
    "tax_rates",
    "vat_lookups",
]
