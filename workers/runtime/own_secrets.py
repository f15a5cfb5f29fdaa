"""Secrets that an engine in sandbox mode makes for itself, once, in its own folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def made_once(file: Path) -> str:
    """Return what the file holds; the first to ask makes it, of 64 hexadecimal digits."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process made one first: use that
            os.link(draft, file)
        draft.unlink()
    return file.read_text().strip()
