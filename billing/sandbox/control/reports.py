"""Report files: made at once, and fetched."""

from billing.sandbox.control.desk import Desk, Endpoint, Wanted, named, one_of, read
from billing.sandbox.errors import Body, Reply, error_body
from billing.sandbox.http import Answer, json_answer
from billing.sandbox.reports import DEFAULT_COLUMNS
from billing.sandbox.resources import report_runs

_Names = tuple[str, ...]


def _make(desk: Desk, _: _Names, wanted: Wanted) -> Body:
    """Run a report and wait for its file."""
    read(wanted, {"report_type": str, "parameters": dict}, ("report_type",))
    kind = one_of(wanted["report_type"], tuple(DEFAULT_COLUMNS), "report_type")
    parameters = wanted.get("parameters", {})
    read(parameters, _PARAMETERS)
    with desk.account.store.transaction():
        run = report_runs.new_run(desk.account.call(), kind, parameters)
    desk.reports.run(run["id"])
    with desk.account.store.reading():
        call = desk.account.call()
        return report_runs.render(call, named(call, report_runs.KIND.name, run["id"]))


def _fetch(desk: Desk, names: _Names, _: Wanted) -> Answer:
    file = desk.reports.file(names[0])
    if file is None:
        return json_answer(Reply(404, error_body("invalid_request_error", "No such report.")))
    return Answer(200, b"", file=file, content_type="text/csv")


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
