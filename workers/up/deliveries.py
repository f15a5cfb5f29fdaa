"""Webhooks of the sandbox that `billing up` runs: what signs them, and where they are sent."""

from collections.abc import Callable
from typing import Final

from billing.config import PREFIX, Settings
from billing.errors import BillingError, first_line
from billing.workers.runtime.own_secrets import made_once
from billing.workers.runtime.runtime import sandbox_url
from billing.workers.up.sandbox import SandboxClient

_FILE: Final = "webhook_secret"
_OF_DEFAULT: Final = f"{PREFIX}WEBHOOKS__SECRETS"


def signing_secret(settings: Settings) -> dict[str, str]:
    """Return the settings of a signing secret of our own, where none is configured.

    For the accounts that the embedded sandbox tells of its events.
    """
    without = [name for name in _told(settings) if not settings.webhook_secrets(name)]
    if not without:
        return {}
    secret = made_once(settings.embedded.dir / _FILE)
    return {_variable(settings, name): secret for name in without}


def name_endpoint(
    settings: Settings, made: dict[str, str], port: int, say: Callable[[str], object]
) -> None:
    """Tell the sandbox where our API receives its events, those of each kind of provider.

    `made` is what `signing_secret` returned. Without deliveries the sweep brings the events, so a
    refusal is only said.
    """
    url = sandbox_url(settings)
    if url is None:
        return
    for account in _told(settings):
        endpoint = f"http://{settings.api.host}:{port}/v1/webhooks/{account}"
        try:
            _name(settings, account, made, SandboxClient(url), endpoint)
        except BillingError as error:
            say(f"the sandbox sends no webhooks to {endpoint}: {first_line(error)}\n")


def _name(
    settings: Settings, account: str, made: dict[str, str], sandbox: SandboxClient, endpoint: str
) -> None:
    if settings.providers[account].SANDBOX_SECRETS:  # signed with the account's own keys
        sandbox.keep_notifying(endpoint)
        return
    secret = made.get(_variable(settings, account)) or settings.webhook_secrets(account)[0]
    sandbox.keep_delivering_to(endpoint, secret)


def _told(settings: Settings) -> list[str]:
    """Return the accounts at the embedded sandbox: one of a kind, which is one account there."""
    first: dict[str, str] = {}
    for name in (settings.default_provider, *settings.providers):
        if settings.in_embedded_sandbox(name):
            first.setdefault(settings.providers[name].kind, name)
    return list(first.values())


def _variable(settings: Settings, account: str) -> str:
    if account == settings.default_provider:
        return _OF_DEFAULT
    return f"{PREFIX}PROVIDERS__{account.upper()}__WEBHOOK_SECRETS"
