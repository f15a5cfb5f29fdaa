"""Braintree's XML, and the JSON of its browsers' API: requests into plain values, answers of them.

Tags are words joined by dashes (the SDK sends underscores); in here they are joined by underscores.
"""

import json
import xml.etree.ElementTree as Tree
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class When:
    """An instant, in seconds since 1970."""

    at: int | None


@dataclass(frozen=True, slots=True)
class Day:
    """A date, as text (2026-01-31)."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """An array: each value in an element of this name."""

    name: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Repeated:
    """Values that stand side by side, each in an element of the same name."""

    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A word that Braintree marks as a symbol: the attribute that an error is about."""

    text: str


class MalformedBody(Exception):
    """The body of a request is no XML that is read here."""


def read_xml(text: str) -> Node:
    """Return a request's body: `{root: value}`, empty for no body. Raises: MalformedBody."""
    if not text.strip():
        return {}
    if "<!" in text:
        raise MalformedBody("a document type, a comment or a section")
    try:
        root = Tree.fromstring(text)  # noqa: S314  no entities without a document type
    except Tree.ParseError as error:
        raise MalformedBody(str(error)) from error
    return {_name(root): _value(root)}


def read_json(text: str) -> Node:
    """Return the body of a browser's request. Raises: MalformedBody."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise MalformedBody(str(error)) from error
    if not isinstance(value, dict):
        raise MalformedBody("no object")
    return value


def _name(element: Tree.Element) -> str:
    return element.tag.replace("-", "_")


def _value(element: Tree.Element) -> Any:
    kind = element.get("type")
    if kind == "array":
        return [_value(child) for child in element]
    if len(element):
        return {_name(child): _value(child) for child in element}
    text = element.text
    if kind == "boolean":
        return text in ("true", "1")
    return text or None


def write_xml(root: str, value: Any) -> bytes:
    """Return an answer's body."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_element(root, value)}\n'.encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, Repeated):
        return "".join(_element(name, each) for each in value.values)
    kind, inside = _content(value)
    tag = name.replace("_", "-")
    if inside is None:
        return f'<{tag} nil="true"/>'
    mark = f" type={quoteattr(kind)}" if kind else ""
    return f"<{tag}{mark}>{inside}</{tag}>"


def _content(value: Any) -> tuple[str | None, str | None]:
    """Return the type that is said with a value, and its text; None for no value."""
    if isinstance(value, bool):
        return "boolean", "true" if value else "false"
    if isinstance(value, int):
        return "integer", str(value)
    if isinstance(value, When):
        return "datetime", None if value.at is None else instant_text(value.at)
    if isinstance(value, Day):
        return "date", value.text
    if isinstance(value, Symbol):
        return "symbol", escape(value.text)
    if isinstance(value, Listed):
        return "array", "".join(_element(value.name, each) for each in value.values)
    if isinstance(value, dict):
        return None, "".join(_element(name, each) for name, each in value.items())
    return None, None if value is None else escape(str(value))


def instant_text(at: int) -> str:
    """Return an instant as Braintree writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_text(at: int) -> str:
    """Return the UTC date of an instant."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
