"""Errors carry a code and facts; what to do is written once for a shell, once for the API."""

import ast
import importlib
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from billing import errors
from billing.api import remedies as of_api
from billing.cli import remedies as of_cli
from billing.errors import (
    BadInput,
    BillingError,
    Conflict,
    ErrorCode,
    NotFound,
    SchemaUnknown,
    Unavailable,
)
from billing.store.journal import checks

ROOT = Path(__file__).resolve().parents[2]
# Where errors are raised and never shown.
SILENT = ("billing/flows", "billing/queries", "billing/store", "billing/rules", "billing/ledger")
FAMILIES = {
    each.code for each in (BillingError, BadInput, NotFound, Conflict, Unavailable, SchemaUnknown)
}
TABLES = {"cli": of_cli.REMEDIES, "api": of_api.REMEDIES}


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Yield every call with its file."""
    for path in sorted((ROOT / "billing").rglob("*.py")):
        if path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node


def keywords(call: ast.Call) -> Mapping[str | None, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def code_of(path: Path, call: ast.Call) -> set[ErrorCode]:
    """Return the codes that a call gives an error: by name, or by its class."""
    given = keywords(call).get("code")
    if given is not None:
        return {
            ErrorCode[node.attr]
            for node in ast.walk(given)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "ErrorCode"
        }
    if not isinstance(call.func, ast.Name):
        return set()
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    made = getattr(module, call.func.id, None)
    if isinstance(made, type) and issubclass(made, BillingError):
        return {made.code}
    return set()


def fields(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def test_what_raises_errors_says_nothing_of_remedies() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in calls()
        if str(path.relative_to(ROOT)).startswith(SILENT) and "remedy" in keywords(call)
    ]

    assert found == []


def test_every_code_has_a_remedy_at_the_shell_or_there_is_none() -> None:
    assert set(of_cli.REMEDIES) | of_cli.WITHOUT == set(ErrorCode)
    assert set(of_cli.REMEDIES) & of_cli.WITHOUT == set()


def test_no_remedy_of_the_api_needs_a_shell() -> None:
    assert [words for words in of_api.REMEDIES.values() if "`billing " in words] == []


@pytest.mark.parametrize("table", TABLES)
def test_a_remedy_names_only_facts_that_its_error_carries(table: str) -> None:
    for path, call in calls():
        for code in code_of(path, call):
            needed = fields(TABLES[table].get(code, ""))
            missing = needed - {name for name in keywords(call) if name}
            assert not missing, f"{path.relative_to(ROOT)}:{call.lineno} lacks {missing}"


def test_every_code_is_raised_somewhere() -> None:
    defined = ROOT / "billing" / "errors.py"
    used = {
        name
        for path in (ROOT / "billing").rglob("*.py")
        if path != defined and path.name != "remedies.py"
        for name in re.findall(r"\bErrorCode\.([A-Z_]+)", path.read_text())
    }
    of_classes = {code.name for code in FAMILIES}

    assert sorted({code.name for code in ErrorCode} - used - of_classes) == []


def test_every_check_of_the_ledger_has_a_remedy() -> None:
    assert set(of_cli.LEDGER_REMEDIES) == {check.name for check in checks.CHECKS}


def test_facts_are_filled_in() -> None:
    error = Conflict("no", code=ErrorCode.PRICE_MISSING, sold_in=("EUR", "USD"))

    assert of_cli.remedy_of(error) == of_api.remedy_of(error) == "it is sold in EUR, USD"


def test_the_shell_and_the_api_say_each_their_own() -> None:
    error = NotFound("no payment", code=ErrorCode.PAYMENT_NOT_FOUND)

    assert of_cli.remedy_of(error) == "`billing charges list` shows them"
    assert of_api.remedy_of(error) == "list the payments for their ids"


def test_an_error_has_its_class_s_code_unless_it_has_one_of_its_own() -> None:
    assert errors.NotFound("x").code is ErrorCode.NOT_FOUND
    assert errors.NotFound("x", code=ErrorCode.RUN_NOT_FOUND).code is ErrorCode.RUN_NOT_FOUND
