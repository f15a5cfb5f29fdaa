"""Settings of tests: what a story changes of the default account at the provider."""

from typing import Any

from billing.config import Settings


def with_provider(settings: Settings, **changes: Any) -> Settings:
    """Return the settings with changed keys of the default provider."""
    changed = settings.provider().model_copy(update=changes)
    providers = {**settings.providers, settings.default_provider: changed}
    return settings.model_copy(update={"providers": providers})
