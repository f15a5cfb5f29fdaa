"""The pepper that keys the hashes of API keys: configured, or made once in sandbox mode."""

from typing import Final

from billing.config import Settings
from billing.flows.service.api_keys import check_pepper
from billing.workers.runtime.own_secrets import made_once

PEPPER_FILE: Final = "api_pepper"


def pepper(settings: Settings) -> str:
    """Return the pepper. Raises `BadInput` in live mode when none is set."""
    configured = settings.api.pepper.get_secret_value()
    if configured or settings.mode == "live":
        return check_pepper(configured)
    return check_pepper(made_once(settings.embedded.dir / PEPPER_FILE))
