"""Webhooks of the sandbox that `billing up` runs: what signs them, and where they are sent."""

from collections.abc import Callable
from typing import Final

from billing.config import PREFIX, Settings
from billing.errors import BillingError, first_line
from billing.workers.runtime.own_secrets import made_once
from billing.workers.runtime.runtime import sandbox_url
from billing.workers.up.sandbox import SandboxClient

_FILE: Final = "webhook_secret"
_VARIABLE: Final = f"{PREFIX}WEBHOOKS__SECRETS"


def signing_secret(settings: Settings) -> dict[str, str]:
    """Return the setting of a signing secret of our own, where none is configured.

    For the default account, if it is at the sandbox that comes with the engine.
    """
    account = settings.default_provider
    if not settings.in_embedded_sandbox(account) or settings.webhook_secrets(account):
        return {}
    return {_VARIABLE: made_once(settings.embedded.dir / _FILE)}


def name_endpoint(
    settings: Settings, made: dict[str, str], port: int, say: Callable[[str], object]
) -> None:
    """Tell the sandbox of the default account where our API receives its events.

    `made` is what `signing_secret` returned. Without deliveries the sweep brings the events, so a
    refusal is only said.
    """
    account = settings.default_provider
    url = sandbox_url(settings)
    if url is None or not settings.in_embedded_sandbox(account):
        return
    secret = made.get(_VARIABLE) or settings.webhook_secrets(account)[0]
    endpoint = f"http://{settings.api.host}:{port}/v1/webhooks/{account}"
    try:
        SandboxClient(url).keep_delivering_to(endpoint, secret)
    except BillingError as error:
        say(f"the sandbox sends no webhooks to {endpoint}: {first_line(error)}\n")
