"""Contradictions between settings that are valid by themselves."""

import re
from collections.abc import Iterable
from typing import Final

from billing.config.providers import ProviderSettings
from billing.config.schema import Settings
from billing.config.values import format_duration

Contradiction = tuple[tuple[str, ...], str, str]
"""The key, the contradiction, the remedy."""
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def contradictions(settings: Settings) -> Iterable[Contradiction]:
    """Yield every contradiction between keys."""
    charges = settings.charges
    yield from _which_provider(settings)
    for name, provider in settings.providers.items():
        yield from _of_provider(settings, name, provider)
    if charges.unknown_backoff > charges.unknown_backoff_max:
        yield (
            ("charges", "unknown_backoff"),
            "the first pause is longer than the longest",
            "make it at most charges.unknown_backoff_max",
        )
    yield from _of_taxes(settings)
    if settings.tax.provider == "table" and not settings.tax.country:
        yield (
            ("tax", "country"),
            "taxes are decided on, and it isn't known where the seller is",
            'write the code of the country, like "DE"',
        )
    if settings.tax.reverse_charge == "confirmed" and not settings.tax.check_vat_ids:
        yield (
            ("tax", "check_vat_ids"),
            "VAT ids count once the register confirmed them, and it isn't asked",
            "set tax.check_vat_ids = true",
        )
    if settings.temporal.api_key.get_secret_value() and not settings.temporal.tls:
        yield (
            ("temporal", "api_key"),
            "the key would be sent where everybody on the way can read it",
            "set temporal.tls = true",
        )


def _which_provider(settings: Settings) -> Iterable[Contradiction]:
    if not settings.providers:
        yield ("providers",), "no provider is left", "add one, or leave the section out"
        return
    for name in settings.providers:
        if not _NAME.fullmatch(name):
            yield (
                ("providers", name),
                f"{name!r} can't be a provider's name: rows, paths and variables carry it",
                "use small letters, digits and single underscores, beginning with a letter",
            )
    defaults = [name for name, provider in settings.providers.items() if provider.default]
    for name in defaults[1:]:
        yield (
            ("providers", name, "default"),
            f"{defaults[0]} and {name} are both the default",
            "leave default = true to one; without any, the first is the default",
        )
    own = settings.provider().webhook_secrets
    if own and settings.webhooks.secrets:
        yield (
            ("webhooks", "secrets"),
            f"webhooks.secrets and providers.{settings.default_provider}.webhook_secrets are both"
            " given, and both are the default provider's",
            "leave out webhooks.secrets",
        )


def _of_taxes(settings: Settings) -> Iterable[Contradiction]:
    tax = settings.tax
    if tax.provider != "external":
        return
    from billing.gateway.registry import KINDS  # needed by few

    account = tax.account or settings.default_provider
    provider = settings.providers.get(account)
    if provider is None:
        yield (
            ("tax", "account"),
            f"there is no account {account!r} that taxes could be asked of",
            "name a section of [providers]",
        )
    elif not KINDS[provider.kind].capabilities.computes_taxes:
        yield (
            ("tax", "account"),
            f"the provider of the account {account!r} computes no taxes",
            "name an account at a provider that does",
        )


def _of_provider(
    settings: Settings, name: str, provider: ProviderSettings
) -> Iterable[Contradiction]:
    deadline, key = f"providers.{name}.deadline", ("providers", name)
    for part, what, remedy in provider.contradictions(settings.mode):
        yield (*key, part), what, remedy
    if provider.deadline >= settings.charges.lease:
        yield (
            ("charges", "lease"),
            "a charge may take longer than its lease: another worker would start it again",
            f"make charges.lease longer than {deadline}",
        )
    if provider.deadline >= settings.reconciler.lease:
        yield (
            ("reconciler", "lease"),
            "reading one page may take longer than the lease: another reconciler would take over",
            f"make reconciler.lease longer than {deadline}",
        )
    if provider.timeout_read > provider.deadline:
        yield (
            (*key, "timeout_read"),
            "one read may take longer than the whole call",
            f"make it at most {deadline}",
        )
    yield from _of_key_age(settings, name, provider)


def _of_key_age(
    settings: Settings, name: str, provider: ProviderSettings
) -> Iterable[Contradiction]:
    age = settings.charges.key_max_age
    if age is None:
        return
    from billing.gateway.registry import KINDS  # needed by no other check

    limit = KINDS[provider.kind].capabilities.key_max_age
    if age > limit:
        yield (
            ("charges", "key_max_age"),
            f"{name} may forget an older idempotency key: the charge would be made twice",
            f"keep it at {format_duration(limit)} or less, or leave it out",
        )
