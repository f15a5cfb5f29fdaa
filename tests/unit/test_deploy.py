"""Rules, dashboard and units name only what exists, and promtool agrees where it is installed."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import pytest

from billing.config import all_keys
from billing.workers.roles import Role
from tests.unit.exported_metrics import exported_metrics

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULES_TEST = DEPLOY / "prometheus" / "rules_test.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TEMPORAL_UNIT = DEPLOY / "temporal" / "perennial-temporal.service"
PARTS_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")
STANDING_BESIDE = {"console"}
"""Without it no work stands still, so nobody is called at night."""
NOT_OURS = {"job", "instance", "le"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH"
)


def alerts() -> list[dict[str, str]]:
    """Read the rules file, whose rules are written one key a line, without a YAML library."""
    found: list[dict[str, str]] = []
    for number, line in enumerate(RULES.read_text().splitlines(), start=1):
        assert "\t" not in line, f"rules.yml:{number} has a tab"
        if match := re.fullmatch(r"      - alert: (\w+)", line):
            found.append({"alert": match[1]})
        elif (match := re.fullmatch(r" {8,10}(\w+):(?: (\S.*))?", line)) and found:
            assert match[1] not in found[-1], f"rules.yml:{number} repeats {match[1]}"
            found[-1][match[1]] = (match[2] or "").strip('"')
        else:
            assert re.fullmatch(r"(?:#.*|groups:|  - name: [a-z-]+|    rules:|)", line), (
                f"rules.yml:{number} isn't written the way the others are: {line!r}"
            )
    return found


def panels() -> Iterator[dict[str, Any]]:
    """Yield the dashboard's panels, those in rows too."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> Mapping[str, str]:
    """Return every query of the rules and the dashboard by where it stands."""
    found = {f"alert {alert['alert']}": alert["expr"] for alert in alerts()}
    for panel in panels():
        for target in panel.get("targets", ()):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    return found


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as web views of Markdown make them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_metric_that_is_asked_for_is_exported_with_the_labels_asked_for() -> None:
    metrics = exported_metrics()

    for place, query in queries().items():
        names = re.findall(r"\bbilling_[a-z_]+", query)
        assert names or "up{" in query, f"{place} asks for nothing of ours"
        known: set[str] = set(NOT_OURS)
        for name in names:
            family = name if name in metrics else PARTS_OF_A_HISTOGRAM.sub("", name)
            assert family in metrics, f"{place} asks for {name}, which nobody exports"
            known |= metrics[family].labels
        grouped = re.findall(r"\b(?:by|without|on) \(([^)]*)\)", query)
        asked = {label.strip() for labels in grouped for label in labels.split(",")} - {""}
        asked |= set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
        assert asked <= known, f"{place} asks for labels {asked - known}"


def test_figures_of_state_are_never_added_up_over_processes() -> None:
    """Every scheduler and reconciler exports the same ones."""
    gauges = [name for name, metric in exported_metrics().items() if metric.kind == "gauge"]
    one_a_process = {"billing_build_info"}

    for place, query in queries().items():
        for name in set(gauges) - one_a_process:
            assert not re.search(rf"sum(?: by \([^)]*\))? ?\({name}\b", query), f"{place}: {name}"


def test_every_counter_is_read_as_a_rate() -> None:
    counters = [name for name, metric in exported_metrics().items() if metric.kind == "counter"]

    for place, query in queries().items():
        for name in counters:
            for match in re.finditer(rf"\b{name}\b(\{{[^}}]*\}})?(.?)", query):
                assert match[2] == "[", f"{place} reads {name} as if it were a gauge"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(alert: Mapping[str, str]) -> None:
    assert alert["severity"] in ("page", "ticket")
    assert alert["summary"]
    assert alert["description"].endswith(".")
    page, _, anchor = alert["runbook"].partition("#")
    assert page == "docs/operations.md"
    assert anchor in headings(ROOT / page)


def test_every_role_is_missed_by_the_rule_and_has_its_line_in_the_runbook() -> None:
    (rule,) = [alert["expr"] for alert in alerts() if alert["alert"] == "BillingRoleAbsent"]
    told = re.findall(r"^\| an? (\w+) \|", (ROOT / "docs" / "operations.md").read_text(), re.M)

    missed = set(get_args(Role)) - STANDING_BESIDE
    assert set(re.findall(r'absent\(billing_build_info\{role="(\w+)"\}\)', rule)) == missed
    assert set(told) >= set(get_args(Role))


def test_every_alert_is_shown_firing_by_a_rule_test() -> None:
    fired = re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:", RULES_TEST.read_text())

    assert set(fired) == {alert["alert"] for alert in alerts()}


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_promtool_agrees(command: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries().values())
    ]
    file = tmp_path / "queries.json"  # JSON is YAML too
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in panels()]
    drawn = [panel for panel in panels() if panel["type"] != "row"]

    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource"]
    assert len(set(ids)) == len(ids)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in drawn)
    assert all(panel["description"].endswith(".") for panel in drawn)


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    shown = {
        name
        for query in queries().values()
        for raw in re.findall(r"\bbilling_[a-z_]+", query)
        for name in (raw, PARTS_OF_A_HISTOGRAM.sub("", raw))
    }

    assert set(exported_metrics()) - shown == {"billing_renewal_lag_seconds"}


def variables(text: str) -> Iterator[str]:
    """Yield the configuration keys that a unit or an environment file sets."""
    for name in re.findall(r"^(?:Environment=)?BILLING__(\w+)=", text, re.MULTILINE):
        key = ".".join(name.removesuffix("_FILE").lower().split("__"))
        yield re.sub(r"^providers\.\w+\.", "providers.NAME.", key)


@pytest.mark.parametrize(
    "file", [*UNITS, TEMPORAL_UNIT, DEPLOY / "systemd" / "perennial.env"], ids=lambda f: f.name
)
def test_units_set_only_keys_that_exist(file: Path) -> None:
    keys = list(variables(file.read_text()))

    assert keys
    assert set(keys) <= set(all_keys())


@pytest.mark.parametrize("unit", [*UNITS, TEMPORAL_UNIT], ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_told_when_it_is_ready(unit: Path) -> None:
    lines = set(unit.read_text().splitlines())

    assert {
        "Type=notify",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "SystemCallFilter=@system-service",
        "RestartPreventExitStatus=2 5",
    } <= lines
    role = unit.name.removeprefix("perennial-").partition(".")[0].rstrip("@")
    command = f" {role}" if unit in UNITS else f" {role} worker"
    assert any(line.startswith("ExecStart=") and line.endswith(command) for line in lines)


def test_the_scrape_example_knows_the_ports_of_the_units() -> None:
    scraped = set(re.findall(r"127\.0\.0\.1:(\d+)", (RULES.parent / "prometheus.yml").read_text()))
    served = {
        port.replace("%i", instance)
        for unit in UNITS
        for port in re.findall(r"_PORT=(\S+)", unit.read_text())
        for instance in ("1", "2")
    }

    assert scraped == served


def test_the_pages_are_served_on_loopback_unless_told_otherwise() -> None:
    for unit in UNITS:
        assert "METRICS__HOST" not in unit.read_text()


def locked(name: str) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    lines = (ROOT / name).read_text()
    return dict(
        re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^ ;\\]+)", lines, re.MULTILINE)
    )


def test_a_server_gets_no_development_tools_no_embedded_servers_and_no_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, everything = locked("requirements-runtime.lock"), locked("requirements.lock")

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9._-]", each)[0] for each in requirements}

    extras = project["optional-dependencies"]
    assert names(project["dependencies"]) <= set(runtime)
    assert names([*extras["dev"], *extras["embedded"]]) <= set(everything)
    assert names([*extras["dev"], *extras["embedded"]]) & set(runtime) == {"setuptools"}
    assert names(extras["temporal"]) <= set(everything)
    assert {name for name in runtime if "temporal" in name} == set()
    assert names(extras["tracing"]) <= set(everything)
    assert names(extras["tracing"]) & set(runtime) == {"opentelemetry-api"}, "which others need"
    assert runtime.items() <= everything.items(), "one version of a package, wherever it runs"
    assert "requirements-runtime.lock" in (DEPLOY / "README.md").read_text()


def test_what_a_server_gets_is_complete() -> None:
    """Packages are installed without resolving, so whatever one needs has to be in the lock."""
    runtime, everything = locked("requirements-runtime.lock"), locked("requirements.lock")

    missing = {
        f"{name} needs {needed}"
        for name in runtime
        for requirement in _required_by(name)
        for needed in [re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")]
        if "extra ==" not in requirement and needed in everything and needed not in runtime
    }
    assert missing == set()


def _required_by(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # of another platform
        return []


def test_the_image_is_given_what_it_copies() -> None:
    told = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name.rstrip("/") for line in told for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_has_the_packages_of_the_runtime_lock_and_runs_as_nobody_else() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert "--require-hashes -r requirements-runtime.lock" in dockerfile
    assert "\nUSER 10001\n" in dockerfile
    for line in dockerfile.splitlines():
        assert "http://" not in line
        assert "https://" not in line
