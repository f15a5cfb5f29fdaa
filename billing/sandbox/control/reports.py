"""Report files: made at once, and fetched."""

from billing.sandbox.control.endpoints import (
    ControlEndpoints,
    Endpoint,
    Wanted,
    named,
    one_of,
    read,
)
from billing.sandbox.errors import Body, Reply, error_body
from billing.sandbox.http import HttpAnswer, json_answer
from billing.sandbox.reports import DEFAULT_COLUMNS
from billing.sandbox.resources import report_runs

_Names = tuple[str, ...]


def _make(control: ControlEndpoints, _: _Names, wanted: Wanted) -> Body:
    """Run a report and wait for its file."""
    read(wanted, {"report_type": str, "parameters": dict}, ("report_type",))
    kind = one_of(wanted["report_type"], tuple(DEFAULT_COLUMNS), "report_type")
    parameters = wanted.get("parameters", {})
    read(parameters, _PARAMETERS)
    with control.account.store.transaction():
        run = report_runs.new_run(control.account.call(), kind, parameters)
    control.reports.run(run["id"])
    with control.account.store.reading():
        call = control.account.call()
        return report_runs.render(call, named(call, report_runs.KIND.name, run["id"]))


def _fetch(control: ControlEndpoints, names: _Names, _: Wanted) -> HttpAnswer:
    file = control.reports.file(names[0])
    if file is None:
        return json_answer(Reply(404, error_body("invalid_request_error", "No such report.")))
    return HttpAnswer(200, b"", file=file, content_type="text/csv")


_PARAMETERS = {
    "interval_start": int,
    "interval_end": int,
    "payout": str,
    "currency": str,
    "reporting_category": str,
    "timezone": str,
    "columns": list,
}

ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "reports"): _make,
    ("GET", "reports/*"): _fetch,
}
