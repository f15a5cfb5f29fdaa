"""The DAG for Airflow, read without Airflow, which can't share an environment with the engine."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any, Final

import click
import pytest

from billing.cli import failures
from billing.cli.root import root
from billing.rules.reconciliation import STEPS

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "airflow"
DAG: Final = (FOLDER / "perennial_night.py").read_text()
TREE: Final = ast.parse(DAG)


def constant(name: str) -> Any:
    """Return what a name of the module stands for."""
    (value,) = [
        node.value
        for node in TREE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(value)


def test_the_dag_is_a_module_that_compiles() -> None:
    compile(DAG, "perennial_night.py", "exec")


def test_the_dag_takes_the_engines_steps_in_their_order() -> None:
    (steps,) = [
        node
        for node in ast.walk(TREE)
        if isinstance(node, ast.For) and ast.unparse(node.iter) == "STEPS"
    ]

    assert constant("STEPS") == STEPS
    assert "before >> task" in ast.unparse(steps)
    assert DAG.rstrip().endswith("before >> close_show >> prove")


def test_the_dag_knows_the_exit_codes() -> None:
    assert constant("FOUND_BREAKS") == failures.FINDINGS
    assert constant("TRY_AGAIN") == (failures.UNAVAILABLE, failures.EARLIER_STEP)
    assert constant("NOTHING_TO_TELL") not in dict(failures.EXIT_CODES)
    assert f'accepting("prove -o json", 0, {failures.DIFFERENCES})' in DAG


@pytest.mark.parametrize(
    "line",
    [
        "reconcile run --step fetch --as-of 2026-03-02T00:00:00Z -o json",
        "breaks list -o jsonl",
        "close show -o json",
        "prove -o json",
    ],
)
def test_the_commands_of_the_dag_are_the_engines(line: str) -> None:
    context, command = click.Context(root), root.commands[line.split()[0]]
    said = re.sub(r"--step fetch --as-of \S+", "--step {step} --as-of {AS_OF}", line)
    words = shlex.split(line)[1:]
    if isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    assert said in DAG
    command.make_context(line, words, parent=context)


def test_the_check_names_the_version_and_no_address() -> None:
    check = (FOLDER / "check.sh").read_text()

    assert re.search(r"^version=\d+\.\d+\.\d+$", check, re.MULTILINE)
    assert "://" not in check
    assert "index-url" not in check
