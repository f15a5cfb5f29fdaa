"""Settings: `config.toml`, then the environment over it, checked as a whole before use.

`BILLING__SECTION__KEY` overrides a key, and `BILLING__SECTION__KEY_FILE` names a file that holds
the value, for secrets. An unknown key is an error. Relative paths count from the folder of the
configuration file. Every key is described in docs/configuration.md.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from billing.config.providers import DEFAULT_NAME, SECTIONS, placed
from billing.config.rules import contradictions
from billing.config.schema import Settings
from billing.config.values import PREFIX
from billing.errors import BadInput
from billing.rules.texts import has_controls, one_line

DEFAULT_FILE: Final = Path("config.toml")
_FILE_SUFFIX: Final = "_FILE"


def load_settings(path: Path | None, env: Mapping[str, str]) -> Settings:
    """Read the file (or the `config.toml` here or in a folder above) and the environment over it.

    Raises: BadInput, which names every problem with its place and remedy.
    """
    found_file = path or _nearest(DEFAULT_FILE)
    file = found_file or DEFAULT_FILE
    values, text = ({}, "") if found_file is None else _read_file(file)
    origins = _Origins(str(file), text)
    _overlay(values, env, origins)
    hints = _place_providers(values, origins)
    _refuse_controls(values, (), origins)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _bad([_invalid(problem, origins) for problem in error.errors()]) from None
    found = list(contradictions(settings))
    if found:
        raise _bad([(origins.of(loc), what, remedy) for loc, what, remedy in found])
    settings._hints, settings._file = hints, found_file
    return _with_absolute_paths(settings, file.absolute().parent)


def _refuse_controls(value: object, loc: tuple[str, ...], origins: "_Origins") -> None:
    """Refuse a text with a control character, which no server and no terminal should be sent."""
    if isinstance(value, str) and has_controls(value.replace("\n", " ").replace("\t", " ")):
        raise BadInput(
            f"{'.'.join(loc)} has a control character, or bytes that are no UTF-8",
            where=one_line(origins.of(loc)),
            remedy="write it without",
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_controls(inner, (*loc, one_line(str(key))), origins)
    elif isinstance(value, list):
        for inner in value:
            _refuse_controls(inner, loc, origins)


def _nearest(name: Path) -> Path | None:
    """Return the file of this name in the working directory, or in the nearest folder above."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / name).is_file():
            return name if folder == here else folder / name
    return None


Problem = tuple[str, str, str]  # where, what, remedy


class _Origins:
    """The source of each value: a line of the file, or a variable."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()
        self._variables: dict[tuple[str, ...], str] = {}
        self._moved: dict[tuple[str, ...], tuple[str, ...]] = {}

    def note(self, loc: tuple[str, ...], variable: str) -> None:
        self._variables[loc] = variable

    def moved(self, to: tuple[str, ...], written_at: tuple[str, ...]) -> None:
        """Note that a section is written in another place than it is read from."""
        self._moved[to] = written_at

    def of(self, loc: tuple[str, ...]) -> str:
        for to, written_at in self._moved.items():
            if loc[: len(to)] == to:
                loc = written_at + loc[len(to) :]
        for length in range(len(loc), 0, -1):
            if loc[:length] in self._variables:
                return f"environment, {self._variables[loc[:length]]}"
        for inner, variable in self._variables.items():
            if inner[: len(loc)] == loc:
                return f"environment, {variable}"
        line = self._line(loc)
        return f"{self._file}{f':{line}' if line else ''}, {'.'.join(loc)}"

    def _line(self, loc: tuple[str, ...]) -> int | None:
        """Search the text for the key: the TOML reader doesn't keep lines."""
        table: tuple[str, ...] = ()
        best = None
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                table = tuple(part.strip(" \"'") for part in header[1].split("."))
                if table == loc[: len(table)]:
                    best = number
            elif key := re.match(r"""\s*([\w.\-"']+)\s*=""", line):
                name = tuple(part.strip(" \"'") for part in key[1].split("."))
                if (*table, *name) == loc[: len(table) + len(name)]:
                    return number
        return best


def _place_providers(values: dict[str, Any], origins: _Origins) -> tuple[str, ...]:
    """Move the section of earlier versions to its present place, and return the hints."""
    if "stripe" in values and values.get("providers"):
        raise BadInput(
            "[stripe] and [providers] are both given, and nobody knows which is meant",
            where=origins.of(("stripe",)),
            remedy="move what [stripe] says into [providers.stripe]",
        )
    old = "stripe" in values
    hints = placed(values)
    if old:
        origins.moved(("providers", DEFAULT_NAME), ("stripe",))
    return hints


def _read_file(file: Path) -> tuple[dict[str, Any], str]:
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError:
        remedy = "name an existing file, or none to use the defaults"
        raise BadInput("there is no such configuration file", where=str(file), remedy=remedy) from (
            None
        )
    except RecursionError:
        raise BadInput(
            "the configuration can't be read: lists or tables are nested too deep",
            where=str(file),
            remedy="correct the file",
        ) from None
    except (OSError, ValueError) as error:  # what is no UTF-8, no TOML, or no number
        raise BadInput(
            f"the configuration can't be read: {error}", where=str(file), remedy="correct the file"
        ) from None


def _overlay(values: dict[str, Any], env: Mapping[str, str], origins: _Origins) -> None:
    """Replace the file's values by the environment's."""
    for variable in sorted(env):
        if not variable.startswith(PREFIX):
            continue
        loc = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        text = env[variable]
        if loc[-1].endswith(_FILE_SUFFIX.lower()):
            plain = variable.removesuffix(_FILE_SUFFIX)
            if plain in env:
                raise BadInput(
                    f"{plain} is set twice, once directly and once by a file",
                    where=f"environment, {variable}",
                    remedy="unset one of the two",
                )
            loc = (*loc[:-1], loc[-1].removesuffix(_FILE_SUFFIX.lower()))
            text = _read_secret(variable, Path(text))
        if loc[:2] == ("charges", "minimum_amounts"):
            loc = (*loc[:2], *(code.upper() for code in loc[2:]))
        if loc[0] == "providers" and loc[2:3] == ("merchant_accounts",):
            loc = (*loc[:3], *(code.upper() for code in loc[3:]))
        origins.note(loc, variable)
        _put(values, loc, _parse(text), variable)


def _put(values: dict[str, Any], loc: tuple[str, ...], value: object, variable: str) -> None:
    table = values
    for name in loc[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise BadInput(
                f"{name} is one value, not a section",
                where=f"environment, {variable}",
                remedy=f"write {PREFIX}SECTION__KEY with two underscores between the parts",
            )
    table[loc[-1]] = value


def _parse(text: str) -> object:
    """Read lists and tables as JSON; everything else stays text, for the key's own reader."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # the key's own reader says what it takes
            return text
    return text


def _read_secret(variable: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:  # what is no UTF-8, or a name that can't be one
        raise BadInput(
            f"the file {file} can't be read: {error}",
            where=f"environment, {variable}",
            remedy="name a file that this user may read",
        ) from None


def _invalid(problem: Any, origins: _Origins) -> Problem:
    told = tuple(str(part) for part in problem["loc"])
    loc = told[:2] + told[3:] if told[:1] == ("providers",) else told  # without the kind
    if problem["type"] in ("union_tag_not_found", "union_tag_invalid"):
        place, kinds = (*loc, "kind"), ", ".join(SECTIONS)
        return origins.of(place), f"{'.'.join(place)} says which provider it is", f"one of {kinds}"
    if problem["type"] == "extra_forbidden":
        where, known = origins.of(loc), _known_keys(told[:-1])
        kind = "key" if len(loc) > 1 else "section or key"
        close = difflib.get_close_matches(loc[-1], known, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"
        return where, f"unknown {kind} {loc[-1]!r}", remedy
    key = tuple(part for part in loc if not part.isdigit())
    what = problem["msg"].removeprefix("Value error, ")
    return origins.of(loc), f"{'.'.join(key)}: {what}", "see docs/configuration.md"


def _known_keys(loc: tuple[str, ...]) -> list[str]:
    if loc[:1] == ("providers",):
        return list(SECTIONS[loc[2]].model_fields)
    model: Any = Settings
    for name in loc:
        model = model.model_fields[name].annotation
    return list(model.model_fields)


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    embedded = settings.embedded.model_copy(update={"dir": base / settings.embedded.dir})
    plans = settings.plans.model_copy(update={"catalog": base / settings.plans.catalog})
    return settings.model_copy(update={"embedded": embedded, "plans": plans})


def _bad(problems: list[Problem]) -> BadInput:
    if len(problems) == 1:
        where, what, remedy = problems[0]
        return BadInput(what, where=where, remedy=remedy)
    lines = [f"{where}: {what} ({remedy})" for where, what, remedy in problems]
    return BadInput("\n  ".join([f"the configuration has {len(problems)} problems:", *lines]))
