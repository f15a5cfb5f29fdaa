"""What is wrong with the settings as a whole although each part is right."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from billing.config.schema import Settings


def contradictions(settings: Settings) -> Iterable[tuple[tuple[str, ...], str, str]]:
    """Yield what is wrong with the whole although each part is right: place, what, remedy."""
    stripe, charges = settings.stripe, settings.charges
    yield from _mode_contradictions(settings)
    if stripe.deadline >= charges.lease:
        yield (
            ("charges", "lease"),
            "a charge may take longer than its lease: another worker would start it again",
            "make charges.lease longer than stripe.deadline",
        )
    if stripe.deadline >= settings.reconciler.lease:
        yield (
            ("reconciler", "lease"),
            "reading one page may take longer than the lease: another reconciler would take over",
            "make reconciler.lease longer than stripe.deadline",
        )
    if stripe.timeout_read > stripe.deadline:
        yield (
            ("stripe", "timeout_read"),
            "one read may take longer than the whole call",
            "make stripe.timeout_read at most stripe.deadline",
        )
    if charges.key_max_age >= timedelta(hours=24):
        yield (
            ("charges", "key_max_age"),
            "the provider may forget an idempotency key after 24 h: the charge would be made twice",
            "keep it below 24h; 23h is the default",
        )
    if charges.unknown_backoff > charges.unknown_backoff_max:
        yield (
            ("charges", "unknown_backoff"),
            "the first pause is longer than the longest",
            "make it at most charges.unknown_backoff_max",
        )


def _mode_contradictions(settings: Settings) -> Iterable[tuple[tuple[str, ...], str, str]]:
    live, kind = settings.mode == "live", _key_kind(_key(settings))
    if live and kind == "test":
        yield ("stripe", "api_key"), "mode is live, but this is a test key", "use the live key"
    if not live and kind == "live":
        yield (
            ("stripe", "api_key"),
            "mode is sandbox, but this is a live key: it would charge real cards",
            'use a test key, or set mode = "live"',
        )
    if live and settings.stripe.api_base:
        yield (
            ("stripe", "api_base"),
            "mode is live, but the provider is another server",
            "leave stripe.api_base empty in live mode",
        )


def _key(settings: Settings) -> str:
    return settings.stripe.api_key.get_secret_value()


def _key_kind(key: str) -> Literal["live", "test", "unknown"]:
    if key.startswith(("sk_live_", "rk_live_")):
        return "live"
    return "test" if key.startswith(("sk_test_", "rk_test_")) else "unknown"
