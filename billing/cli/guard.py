"""Card numbers are refused before any argument is parsed, so no message can repeat one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from billing.errors import BadInput
from billing.pan import refuse_card_number
from billing.rules.texts import visible

_PREFIX: Final = "BILLING__"
_LONG_OPTION: Final = re.compile(r"(--[a-z][a-z-]*)=.*", re.DOTALL)


def refuse_in_arguments(args: Sequence[str]) -> None:
    """Look at every argument, and at neighbours together. Raises: CardNumberRefused.

    A number typed with spaces and without quotes arrives as several arguments.
    """
    for where, text in _places(args):
        refuse_card_number(text, where)
    refuse_card_number(" ".join(args), "the command line")


def refuse_broken_text(args: Sequence[str]) -> None:
    """Refuse arguments whose bytes are no UTF-8: they can't be stored or sent. Raises: BadInput."""
    for where, text in _places(args):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadInput(
                "an argument is no UTF-8 text", where=visible(where), remedy="type it as UTF-8"
            ) from None


def _places(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    before = ""
    for arg in args:
        match = _LONG_OPTION.fullmatch(arg)
        if match:
            yield match[1], arg
        else:
            yield before if before.startswith("-") else "the command line", arg
        before = arg


def refuse_in_settings(file: Path | None, env: Mapping[str, str]) -> None:
    """Look at the configuration as it is written. Raises: CardNumberRefused."""
    for variable in sorted(env):
        if variable.startswith(_PREFIX):
            refuse_card_number(env[variable], f"environment, {variable}")
    if file is None:
        return
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # whoever loads it says what is wrong
        return
    for number, line in enumerate(lines, start=1):
        refuse_card_number(line, f"{file}:{number}")
