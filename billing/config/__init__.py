"""Settings: `config.toml`, then the environment over it, checked as a whole before use.

`schema` has every key, `providers` those of the accounts at providers; `load` reads file and
environment, `rules` finds contradictions between keys, `show` writes settings as text, `values`
parses single values.
"""

from billing.config.load import DEFAULT_FILE, load_settings
from billing.config.providers import BraintreeSettings, ProviderSettings, StripeSettings
from billing.config.schema import (
    ApiSettings,
    ConsoleSettings,
    Settings,
    WebhooksSettings,
    all_keys,
)
from billing.config.values import EMBEDDED, PREFIX, format_duration, parse_duration

__all__ = [
    "DEFAULT_FILE",
    "EMBEDDED",
    "PREFIX",
    "ApiSettings",
    "BraintreeSettings",
    "ConsoleSettings",
    "ProviderSettings",
    "Settings",
    "StripeSettings",
    "WebhooksSettings",
    "all_keys",
    "format_duration",
    "load_settings",
    "parse_duration",
]
