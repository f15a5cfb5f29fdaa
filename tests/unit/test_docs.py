"""The documentation is true where a machine can tell: names, paths, links, commands, tables.

A page may name code as `opening.open_due_cycles` (a module of ours, and what is in it), a file as
`billing/flows/cycles/opening.py`, and a command as `billing plans apply`. What is named has to
exist.
"""

import ast
import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest

import billing
from billing.cli.root import root as billing_command
from billing.config import all_keys
from billing.errors import BillingError, ErrorCode
from billing.rules.reconciliation import BreakKind
from billing.rules.subscriptions import ParkedReason
from billing.store.tables import metadata
from billing.tracing import SpanName
from tests.unit.exported_metrics import exported_metrics

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
]
PACKAGES = ("billing", "plans", "workers", "migrations", "benchmarks", "tests")
LINKED = ("plans", "workers", "migrations")
"""Folders beside `billing` that are packages in it, through links."""
FOLDERS = (*PACKAGES, "docs", "deploy", "tools")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# --- reading pages ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the word after its fence."""

    language: str
    text: str


FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[Block]:
    return [Block(*match.groups()) for match in FENCE.finditer(page.read_text())]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """Return what stands between backticks in the running text."""
    return [text.replace("\n", " ") for text in re.findall(r"`([^`]+)`", prose(page))]


def anchors(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", line) for line in lines)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in plain}


def rows(page: Path) -> list[list[str]]:
    """Return the cells of every row of every table of a page."""
    lines = re.findall(r"^\|(.+)\|$", prose(page), re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


# --- what there is ------------------------------------------------------------------------------


def _names(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the names that a module or class defines, and `Class.member` of its classes."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name, body=inner):
                yield name
                yield from (f"{name}.{member}" for member in _names(inner))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case _:
                pass


@cache
def modules() -> Mapping[str, frozenset[str]]:
    """Return every module of ours by its dotted name, with the names in it."""
    found = {}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            dotted = ".".join(("billing", *parts) if package in LINKED else parts)
            body = ast.parse(file.read_text()).body
            found[dotted.removesuffix(".__init__")] = frozenset(_names(body))
    return found


@cache
def heads() -> frozenset[str]:
    """Return the words that a reference to code of ours begins with."""
    return frozenset(part for dotted in modules() for part in dotted.split("."))


def defined(reference: str) -> bool:
    """Say whether `module.name` is there; the module may be written from any package on."""
    parts = reference.split(".")
    for cut in range(len(parts), 0, -1):
        module, rest = ".".join(parts[:cut]), ".".join(parts[cut:])
        for dotted, names in modules().items():
            fits = dotted == module or dotted.endswith(f".{module}")
            if fits and (not rest or rest in names):
                return True
    instance = f"{parts[0].capitalize()}.{'.'.join(parts[1:])}"  # `world.tick`, of a World
    return any({reference, instance} & names for names in modules().values())


@cache
def also_dotted() -> frozenset[str]:
    """Return what looks like a reference and is a setting, a table or a column."""
    settings = {".".join(key.split(".")[: n + 1]) for key in all_keys() for n in range(3)}
    columns = {
        f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.c
    }
    return frozenset(
        settings | columns | {f"ledger.{t}" for t in ("accounts", "entries", "postings")}
    )


def undefined(text: str) -> Iterator[str]:
    """Yield the references to code in a text that lead nowhere."""
    for reference in re.findall(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w/*-])", text):
        if reference.rpartition(".")[2] in ("md", "toml", "py", "yml", "json", "service", "env"):
            continue
        known = reference.partition(".")[0] in heads() or reference.partition(".")[0].istitle()
        if known and reference not in also_dotted() and not defined(reference):
            yield reference


# --- tests --------------------------------------------------------------------------------------


@each_page
def test_code_that_a_page_names_exists(page: Path) -> None:
    named = [span.removesuffix("()") for span in spans(page) if re.fullmatch(r"[\w.()]+", span)]
    if page.name == "architecture.md":
        named += [block.text for block in blocks(page) if block.language == "text"]

    assert [missing for text in named for missing in undefined(text)] == []


@each_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    paths = {
        match[0]
        for span in spans(page)
        if (match := re.match(r"[\w.@-]+(?:/[\w.@-]*)+", span))
        and span.partition("/")[0] in FOLDERS
    }

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_the_index_names_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text()))

    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def command_lines(page: Path) -> Iterator[str]:
    """Yield the `billing ...` commands of a page, from its blocks and its text."""
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            match = re.match(r"\s*(?:\$ )?(billing [a-z-].*)", line)
            if match and block.language in ("", "sh", "console", "text"):
                yield match[1]
    for span in spans(page):
        if re.match(r"billing [a-z-]", span):
            yield span


def unknown_in(line: str) -> str | None:
    """Return what of a command line `billing` doesn't know, if anything."""
    words = shlex.split(re.split(r"[|>#;]", line)[0], posix=True)[1:]
    command: click.Command = billing_command
    context = click.Context(command)
    options = {name for param in command.params for name in param.opts}
    for word in words:
        option = word.partition("=")[0]
        if word.startswith("--") and len(word) > 2:
            options |= {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
            if option not in options | {"--help"}:
                return f"option {option}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            inner = command.get_command(context, word)
            if inner is None:
                return f"command {word}"
            command = inner
    return None


@each_page
def test_commands_that_a_page_shows_exist(page: Path) -> None:
    lines = [line for line in command_lines(page) if not line.startswith("billing --config")]

    assert {line: unknown for line in lines if (unknown := unknown_in(line))} == {}


@each_page
def test_make_targets_that_a_page_shows_exist(page: Path) -> None:
    there = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join([*spans(page), *(block.text for block in blocks(page))])

    assert set(re.findall(r"^\s*make ([a-z]+)\b", text, re.MULTILINE)) <= there


def test_every_metric_has_a_row_with_its_type_and_labels() -> None:
    described = {
        cells[0].strip("`"): (cells[1], frozenset(re.findall(r"`(\w+)`", cells[2])))
        for cells in rows(DOCS / "metrics.md")
        if cells[0].startswith("`billing_")
    }

    assert described == {m.name: (m.kind, m.labels) for m in exported_metrics().values()}


def first_cells(page: Path) -> list[str]:
    """Return the names that rows and headings of a page are about."""
    return [
        *(name for cells in rows(page) for name in re.findall(r"`([^`]+)`", cells[0])),
        *re.findall(r"^#+ `?(\w+)`?$", prose(page), re.MULTILINE),
    ]


def parked_reasons() -> set[str]:
    """Return every reason that the flows park something for."""
    found = {str(reason) for reason in ParkedReason}
    for file in (ROOT / "billing" / "flows").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            given = [k.value for k in node.keywords if k.arg == "parked_reason"]
            if isinstance(node.func, ast.Name) and node.func.id == "parked_for":
                given += node.args[1:2]
            if isinstance(node.func, ast.Name) and node.func.id == "park":
                given += [k.value for k in node.keywords if k.arg == "reason"]
            found |= {
                value.value
                for value in given
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
    return found


def test_every_parked_reason_has_a_line_in_the_runbook() -> None:
    reasons = parked_reasons()

    assert {"amount_mismatch", "catch_up", "rejected"} <= reasons, "they are still found"
    assert sorted(reasons - set(first_cells(DOCS / "operations.md"))) == []


def test_every_kind_of_break_has_a_line_in_the_runbook() -> None:
    assert sorted({str(k) for k in BreakKind} - set(first_cells(DOCS / "operations.md"))) == []


def billing_errors() -> Iterator[type[BillingError]]:
    """Yield every error a user meets, from all of our modules."""
    for found in pkgutil.walk_packages(billing.__path__, "billing."):
        if not found.name.endswith("__main__") and not found.name.startswith("billing.migrations"):
            importlib.import_module(found.name)
    waiting: list[type[BillingError]] = [BillingError]
    while waiting:
        error = waiting.pop()
        if error.__module__.startswith("billing."):  # not one of a test's
            yield error
        waiting += error.__subclasses__()


def test_every_error_has_a_row_with_its_exit_code() -> None:
    described = {
        name: int(cells[1])
        for cells in rows(DOCS / "operations.md")
        if len(cells) > 2 and cells[1].isdigit()
        for name in re.findall(r"`(\w+)`", cells[0])
    }

    assert described == {error.__name__: error.exit_code for error in billing_errors()}


def test_every_error_code_has_a_line_in_the_runbook() -> None:
    documented = set(first_cells(DOCS / "operations.md"))

    assert sorted({str(code) for code in ErrorCode} - documented) == []


def test_every_exit_code_is_explained() -> None:
    from billing.cli.failures import EXIT_CODES

    explained = {
        int(cells[0].strip("`"))
        for cells in rows(DOCS / "operations.md")
        if cells[0].strip("`").isdigit()
    }

    assert explained == {code for code, _ in EXIT_CODES}


def test_every_span_has_a_row() -> None:
    section = (DOCS / "operations.md").read_text().split("## Traces\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([a-z ]+)`", row)]

    assert sorted(named) == sorted(get_args(SpanName))
