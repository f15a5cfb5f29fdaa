"""Answers of an endpoint, and the refusals that end one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.sandbox.braintree.codes import VALIDATIONS
from billing.sandbox.braintree.xml import Listed, Node, Symbol, write_xml
from billing.sandbox.http import HttpAnswer

_SECRET = frozenset(("number", "cvv", "encrypted_card_data"))


@dataclass(frozen=True, slots=True)
class XmlReply:
    """A status and an XML document; `made` is the key of the transaction that it is about.

    Without a root a value is JSON, as browsers get it.
    """

    status: int
    root: str | None = None
    value: Any = None
    made: str | None = None

    def encoded(self) -> HttpAnswer:
        """Return the answer as it goes over the wire."""
        if self.root is None and self.value is not None:
            return HttpAnswer(self.status, json.dumps(self.value).encode())
        body = b"" if self.root is None else write_xml(self.root, self.value)
        return HttpAnswer(self.status, body, content_type="application/xml; charset=utf-8")


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One validation error: which attribute of which object, and the documented code."""

    where: tuple[str, ...]
    attribute: str
    code: str
    detail: str = ""

    @property
    def message(self) -> str:
        """Return the documented text."""
        return VALIDATIONS.get(self.code, "Invalid.").replace("{detail}", self.detail)


class RefusedRequest(Exception):
    """The request is refused by validation; nothing it may have written so far is kept."""

    def __init__(self, problems: Sequence[InvalidField]) -> None:
        self.problems = problems
        super().__init__("\n".join(each.message for each in problems))


class Failing(Exception):
    """A reply that ends the request and undoes what it wrote."""

    def __init__(self, reply: XmlReply) -> None:
        super().__init__()
        self.reply = reply


class NoSuchObject(Exception):
    """What the path names isn't there: an empty 404."""


def refuse(where: str, attribute: str, code: str, detail: str = "") -> RefusedRequest:
    """Return a refusal for one attribute; `where` is a path of names joined by dots."""
    return RefusedRequest([InvalidField(tuple(where.split(".")), attribute, code, detail)])


def refusal(problems: Sequence[InvalidField], params: Any) -> XmlReply:
    """Return the 422 for validation errors."""
    return failure(params, "\n".join(each.message for each in problems), problems)


def failure(
    params: Any, message: str, problems: Sequence[InvalidField] = (), **more: Any
) -> XmlReply:
    """Return a 422 with the parameters that were sent, without what is secret in them."""
    body = {
        "errors": _nested(problems),
        "params": without_secrets(params),
        "message": message,
        **more,
    }
    return XmlReply(422, "api_error_response", body)


@dataclass(slots=True)
class _Level:
    errors: list[Node] = field(default_factory=list)
    below: dict[str, "_Level"] = field(default_factory=dict)

    def rendered(self) -> Node:
        below = {name: level.rendered() for name, level in self.below.items()}
        return {"errors": Listed("error", self.errors), **below}


def _nested(problems: Sequence[InvalidField]) -> Node:
    top = _Level()
    for problem in problems:
        level = top
        for name in problem.where:
            level = level.below.setdefault(name, _Level())
        level.errors.append(
            {
                "code": problem.code,
                "attribute": Symbol(problem.attribute),
                "message": problem.message,
            }
        )
    return top.rendered()


def without_secrets(value: Any) -> Any:
    """Return parameters without card numbers and security codes."""
    if isinstance(value, dict):
        return {name: without_secrets(each) for name, each in value.items() if name not in _SECRET}
    if isinstance(value, list):
        return Listed("item", [without_secrets(each) for each in value])
    return str(value).lower() if isinstance(value, bool) else value
