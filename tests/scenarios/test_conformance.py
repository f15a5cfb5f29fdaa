"""What others publish, asked of the engine through the conformance suite; and the suite itself."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import conformance_page
from perennial_conformance import Case, Outcome, Run, Status, judge, load_cases
from perennial_conformance.__main__ import BROKEN, CONFORMS, DIFFERS, main
from perennial_conformance.loading import KINDS, RETRIES, CasesFault, Source, Variant, _read
from perennial_conformance.reporting import as_json, as_markdown, as_text, from_json
from tests.shares import share

SHARES = 4
CASES = {case.id: case for case in load_cases()}
DOUBLED = CASES["stripe-january-31"]
CLAMPED, SKIPPED = (variant.expected for variant in DOUBLED.variants)


# --- the engine ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours() -> Run:
    return conformance_page.asked(sys.executable, "perennial", share(load_cases(), SHARES))


@pytest.mark.slow
def test_every_published_answer_that_the_engine_knows_is_the_engines(ours: Run) -> None:
    wrong = [each for each in ours.outcomes if each.status in (Status.DIFFERS, Status.FAILED)]

    assert wrong == [], as_text(ours)
    unsupported = {each.case.kind for each in ours.outcomes if each.status is Status.UNSUPPORTED}
    assert unsupported == {"plan_change"} & {each.case.kind for each in ours.outcomes}


@pytest.mark.slow
def test_the_page_has_the_tables_of_this_run(ours: Run) -> None:
    recorded = conformance_page.recorded("perennial")
    ran = {each.case.id for each in ours.outcomes}
    of_these = tuple(each for each in recorded.outcomes if each.case.id in ran)

    assert as_json(ours) == as_json(replace(recorded, outcomes=of_these)), "make conformance"
    assert conformance_page.PAGE.read_text() == conformance_page.page(), "make conformance"


def test_the_page_tells_every_engine_that_was_asked() -> None:
    runs = [conformance_page.recorded(name) for name in conformance_page.ORDER]

    assert [run.engine for run in runs] == [
        "Perennial", "Silver", "dateutil.rrule", "larzsubscription",
    ]  # fmt: skip
    for run in runs:
        assert len(run.outcomes) == len(CASES)
        assert run.count(Status.FAILED) == 0, "a case is newer than the run: CONFORMANCE=peers"
        judged = [judge(each.case, replied(each)) for each in run.outcomes]
        assert judged == list(run.outcomes), "a case was changed after the run"


def replied(outcome: Outcome) -> dict[str, Any]:
    """Return what the adapter wrote for an outcome."""
    key = "unsupported" if outcome.status is Status.UNSUPPORTED else "result"
    return {key: outcome.answer}


# --- the cases ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.id)
def test_a_case_has_a_rule_and_sources_that_say_something(case: Case) -> None:
    assert case.kind in KINDS
    assert case.rule.endswith(".")
    for variant in case.variants:
        for source in variant.sources:
            assert source.url.startswith("https://")
            assert source.says.rstrip(")").endswith(".")
        if case.kind == "decline":
            assert variant.expected["retry"] in RETRIES


BAD = {
    "of another kind": ('{"kind": "amounts", "cases": []}', "is of kind 'amounts'"),
    "without a rule": (
        '{"kind": "decline", "cases": [{"id": "x", "input": {}, "variants": []}]}',
        "needs variants|'rule'",
    ),
    "without a source": (
        '{"kind": "decline", "cases": [{"id": "x", "rule": "r", "input": {}, "variants":'
        ' [{"name": "n", "expected": {"retry": "later"}, "sources": []}]}]}',
        "a source",
    ),
    "of unknown figures": (
        '{"kind": "decline", "cases": [{"id": "x", "rule": "r", "input": {}, "variants":'
        ' [{"name": "n", "expected": {"a": 1}, "sources":'
        ' [{"url": "u", "says": "s", "figures": "guessed"}]}]}]}',
        "guessed",
    ),
}


@pytest.mark.parametrize(("text", "refusal"), BAD.values(), ids=BAD)
def test_a_file_of_cases_that_is_wrong_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(CasesFault, match=refusal):
        list(_read("decline", text))


# --- comparing ----------------------------------------------------------------------------------


def asking(kind: str, *expected: dict[str, Any]) -> Case:
    source = (Source("https://example.com", "So it is.", published=True),)
    variants = tuple(Variant(f"v{n}", each, source) for n, each in enumerate(expected))
    return Case("x", kind, "A rule.", {}, variants)


def test_an_answer_conforms_with_any_published_variant_and_the_outcome_names_it() -> None:
    by_stripe = judge(DOUBLED, {"result": dict(CLAMPED)})
    by_rfc = judge(DOUBLED, {"result": dict(SKIPPED)})

    assert (by_stripe.status, by_stripe.variant) == (Status.CONFORMS, DOUBLED.variants[0].name)
    assert (by_rfc.status, by_rfc.variant) == (Status.CONFORMS, DOUBLED.variants[1].name)
    assert judge(DOUBLED, {"result": {"dates": ["2025-01-31"]}}).status is Status.DIFFERS


@pytest.mark.parametrize(
    ("kind", "expected", "result", "status"),
    [
        ("minor_units", {"minor": 1234}, {"minor": 1234, "more": 1}, Status.CONFORMS),
        ("minor_units", {"minor": 1}, {"minor": True}, Status.DIFFERS),
        ("minor_units", {"minor": 1}, {"minor": 1.0}, Status.DIFFERS),
        ("minor_units", {"minor": 1}, {"minor": "1"}, Status.DIFFERS),
        ("minor_units", {"minor": 1}, {}, Status.DIFFERS),
        ("minor_units", {"minor": 1}, 1, Status.DIFFERS),
        ("amounts", {"amounts": [1, 2]}, {"amounts": [1]}, Status.DIFFERS),
        ("billing_dates", {"includes": ["a"], "excludes": []}, {"dates": ["a"]}, Status.CONFORMS),
        ("billing_dates", {"includes": ["a"]}, {"dates": ["c"]}, Status.DIFFERS),
        ("billing_dates", {"excludes": ["b"]}, {"dates": ["a", "b"]}, Status.DIFFERS),
        ("billing_dates", {"excludes": ["b"]}, {"dates": []}, Status.DIFFERS),
        ("plan_change", {"credit": 1, "net": 2}, {"net": 2}, Status.CONFORMS),
        ("plan_change", {"credit": 1, "net": 2}, {"net": 2, "credit": 3}, Status.DIFFERS),
        ("plan_change", {"credit": 1, "net": 2}, {"credit": 1}, Status.DIFFERS),
    ],
)  # fmt: skip
def test_every_expected_field_has_to_be_there_and_the_same(
    kind: str, expected: dict[str, Any], result: Any, status: Status
) -> None:
    assert judge(asking(kind, expected), {"result": result}).status is status


def test_not_supported_and_failed_are_no_differences() -> None:
    unsupported = judge(DOUBLED, {"unsupported": "no calendar"})
    failed = judge(DOUBLED, {"error": "no database"})

    assert (unsupported.status, unsupported.answer) == (Status.UNSUPPORTED, "no calendar")
    assert (failed.status, failed.answer) == (Status.FAILED, "no database")
    assert judge(DOUBLED, {}).status is Status.FAILED


# --- the runner ---------------------------------------------------------------------------------

GREETING = '{"protocol": 1, "engine": "Toy", "version": "9"}'
ECHO = """
import json, sys
print(sys.stdin.readline() and '{greeting}', flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({{"id": asked["id"], {reply}}}), flush=True)
"""


def adapter(folder: Path, program: str) -> str:
    """Return the command of an adapter with this program."""
    file = folder / "adapter.py"
    file.write_text(program)
    return f"{sys.executable} {file}"


def replying(folder: Path, reply: str) -> str:
    return adapter(folder, ECHO.format(greeting=GREETING, reply=reply))


def test_an_adapter_of_another_project_is_run_from_the_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "perennial_conformance", "--kind", "minor_units"]
    told = replying(tmp_path, '"result": {"minor": 1234}')

    done = subprocess.run(
        [*command, "--adapter", told],
        cwd=conformance_page.SUITE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == DIFFERS, done.stderr
    assert "Toy 9: 5 conforms, 7 differs, 0 not supported, 0 failed, of 12" in done.stdout
    assert '    published  {"minor": 12340}' in done.stdout


def test_the_exit_code_says_whether_something_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = ["--kind", "retry_days", "--adapter"]

    assert main([*kind, replying(tmp_path, '"result": {"days": [2, 7, 14, 21]}')]) == CONFORMS
    assert main([*kind, replying(tmp_path, '"unsupported": "no ladder"')]) == CONFORMS
    assert main([*kind, replying(tmp_path, '"result": {"days": [2]}')]) == DIFFERS
    assert main([*kind, replying(tmp_path, '"error": "no"')]) == DIFFERS
    assert main([]) == BROKEN
    assert "--adapter" in capsys.readouterr().err


SILENT = "import time; time.sleep(60)"
BROKEN_ADAPTERS = {
    "one that isn't there": ("/nowhere/adapter", "doesn't start"),
    "one that ends": ("import sys", "it ended, at the greeting"),
    "one that chats": ("print('hello', flush=True); input(); input()", "not a JSON object"),
    "one of another protocol": ("print('{\"protocol\": 2}', flush=True); input()", "greets with"),
    "one that is silent": (SILENT, "no answer to the greeting in 0.2 s"),
    "one that answers another case": (
        f"print('{GREETING}', flush=True); input(); input();"
        ' print(\'{"id": "other"}\', flush=True); input()',
        "answers 'other'",
    ),
}


@pytest.mark.parametrize(("program", "complaint"), BROKEN_ADAPTERS.values(), ids=BROKEN_ADAPTERS)
def test_an_adapter_that_breaks_the_protocol_ends_the_run(
    program: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = program if program.startswith("/") else adapter(tmp_path, program)
    patience = "0.2" if program == SILENT else "300"

    code = main(["--kind", "retry_days", "--timeout", patience, "--adapter", command])

    assert code == BROKEN
    assert complaint in capsys.readouterr().err


def test_a_run_is_the_same_when_it_is_read_back_and_its_tables_have_every_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "--kind",
        "charge_amount",
        "--adapter",
        replying(tmp_path, '"result": {"amount": 500}'),
    ]
    cases = [case for case in CASES.values() if case.kind == "charge_amount"]

    assert main([*given, "--json"]) == DIFFERS
    text = capsys.readouterr().out
    run = from_json(text, cases)
    (tmp_path / "toy.json").write_text(text)
    assert main(["--kind", "charge_amount", "--tables", str(tmp_path / "toy.json")]) == CONFORMS

    assert as_json(run) == text
    assert len(json.loads(text)["outcomes"]) == len(cases)
    assert capsys.readouterr().out == as_markdown([run])
    for case in cases:
        assert f"| {case.id} |" in as_markdown([run])
    assert from_json(text, list(CASES.values())).count(Status.FAILED) == len(CASES) - len(cases)
