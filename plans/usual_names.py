"""What other catalogs call the keys of ours, for problems that name the right one."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

# Several keys of ours where it depends on the table which of them is meant.
_USUAL_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("interval", "period", "billing_period", "frequency", "cadence"), ("every",)),
    **dict.fromkeys(("id", "key", "slug", "sku", "plan_id"), ("code",)),
    **dict.fromkeys(("title", "label", "display_name"), ("name",)),
    **dict.fromkeys(("amounts", "prices", "cost"), ("price", "amount", "unit")),
    **dict.fromkeys(("amount", "currency", "currencies"), ("price", "amount")),
    **dict.fromkeys(("trial_days", "trial_period", "trial_period_days"), ("trial",)),
    **dict.fromkeys(("from", "date", "start", "starts", "since", "valid_from"), ("effective",)),
    **dict.fromkeys(("ladder", "retries", "dunning", "retry"), ("retry_after",)),
    **dict.fromkeys(("billing_day", "day"), ("anchor_day",)),
    **dict.fromkeys(("seats", "licenses", "users"), ("quantity", "item")),
    **dict.fromkeys(("charges", "components", "rate_cards", "products", "lines"), ("item",)),
    **dict.fromkeys(("unit_amount", "unit_price", "per_unit", "rate"), ("unit",)),
    **dict.fromkeys(("flat_amount", "flat_fee", "fee", "fixed"), ("flat", "price")),
    **dict.fromkeys(("upto", "to", "last_unit", "upper", "end"), ("up_to",)),
    **dict.fromkeys(("tiering", "tiers_mode", "tier_mode", "pricing_model", "model"), ("tiers",)),
    **dict.fromkeys(("brackets", "slabs", "ranges", "blocks"), ("tier",)),
    **dict.fromkeys(("unit_name", "unit_label", "noun"), ("per",)),
    **dict.fromkeys(("setup", "setup_fee", "one_time", "one_off", "once_only"), ("once", "item")),
    **dict.fromkeys(("free", "free_units", "allowance"), ("included",)),
    **dict.fromkeys(("min", "minimum_spend", "commitment", "floor"), ("minimum", "min")),
    **dict.fromkeys(("max", "maximum_spend", "cap", "ceiling"), ("maximum", "max")),
    **dict.fromkeys(("package_size", "units", "divide_by"), ("size", "package")),
    **dict.fromkeys(("rounding", "round_up"), ("round",)),
    **dict.fromkeys(("add_on", "addons", "add_ons", "extras", "options"), ("addon",)),
    **dict.fromkeys(("plans", "for_plans", "applies_to"), ("plan", "fits", "on")),
    **dict.fromkeys(("discount", "discounts", "promo", "promotion"), ("coupon",)),
    **dict.fromkeys(("coupons", "voucher", "vouchers"), ("coupon",)),
    **dict.fromkeys(("percent_off", "percentage", "pct"), ("percent",)),
    **dict.fromkeys(("amount_off", "value"), ("amount",)),
    **dict.fromkeys(("duration", "duration_in_months", "lasts"), ("for",)),
    **dict.fromkeys(("expires", "expires_at", "redeem_by", "valid_until", "ends"), ("until",)),
    **dict.fromkeys(("max_redemptions", "redemptions", "uses"), ("limit",)),
    **dict.fromkeys(("order", "priority"), ("stack",)),
    **dict.fromkeys(("items", "only", "applicable_to"), ("item", "on")),
    **dict.fromkeys(("upgrade", "upgrades"), ("up", "change")),
    **dict.fromkeys(("downgrade", "downgrades"), ("down", "change")),
    **dict.fromkeys(("proration", "prorate", "changes", "switch"), ("change", "credit")),
    **dict.fromkeys(("metric", "billable_metric", "meters", "meter_id", "usage"), ("meter",)),
    **dict.fromkeys(("event_name", "event_type", "event_code", "events"), ("event",)),
    **dict.fromkeys(("aggregation", "aggregation_type", "agg", "formula"), ("aggregate",)),
    **dict.fromkeys(("property", "value_property", "field_name", "field"), ("value",)),
    **dict.fromkeys(("filter", "filters", "conditions"), ("where",)),
    **dict.fromkeys(("grace", "grace_period", "late", "late_events"), ("late_for",)),
    "versions": ("version",),
}  # fmt: skip


def meant(key: str, known: Sequence[str]) -> str | None:
    """Return the known key that an unknown one is likely to mean, None where none is near."""
    usual = next((name for name in _USUAL_NAMES.get(key.lower(), ()) if name in known), None)
    if usual is not None:
        return usual
    return nearest_of(key, known)


def nearest_of(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that is spelt most like a name, None where none is near."""
    near = get_close_matches(name, known, n=1)
    return near[0] if near else None
