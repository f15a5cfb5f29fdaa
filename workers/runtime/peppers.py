"""The pepper that keys the hashes of API keys: configured, or made once in sandbox mode."""

import os
import secrets
from contextlib import suppress
from typing import Final

from billing.config import Settings
from billing.flows.service.api_keys import check_pepper

PEPPER_FILE: Final = "api_pepper"


def pepper(settings: Settings) -> str:
    """Return the pepper. Raises `BadInput` in live mode when none is set."""
    configured = settings.api.pepper.get_secret_value()
    if configured or settings.mode == "live":
        return check_pepper(configured)
    file = settings.embedded.dir / PEPPER_FILE
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f"{PEPPER_FILE}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process made one first: use that
            os.link(draft, file)
        draft.unlink()
    return check_pepper(file.read_text().strip())
