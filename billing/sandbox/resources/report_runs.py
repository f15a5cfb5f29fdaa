"""Report runs: a report asked for, pending until its file is there."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.sandbox.call import Call, ObjectKind
from billing.sandbox.errors import Body, Reply, refused
from billing.sandbox.ids import new_id
from billing.sandbox.listing import list_page, list_params
from billing.sandbox.params import Params, choice, integer, nested, text, texts
from billing.sandbox.reports import DEFAULT_COLUMNS, ENDING, PAYOUT, PAYOUT_BY_ID, check_columns
from billing.sandbox.resources.events import record_event
from billing.sandbox.routing import Route
from billing.sandbox.store import Record

_REQUIRED = {
    PAYOUT: ("interval_start", "interval_end"),
    PAYOUT_BY_ID: ("payout",),
    ENDING: ("interval_end",),
}


def new_run(call: Call, report_type: str, parameters: dict[str, Any]) -> Record:
    """Store a run whose file is to be written. Raises: ApiError."""
    _check(call, report_type, parameters)
    record: Record = {
        "id": new_id("frr"),
        "created": call.now,
        "report_type": report_type,
        "parameters": parameters,
        "status": "pending",
        "file": new_id("file"),
    }
    call.store.insert(KIND.name, record, subtype="pending")
    call.outbox.announce()
    return record


def _check(call: Call, report_type: str, parameters: dict[str, Any]) -> None:
    for name in _REQUIRED[report_type]:
        if name not in parameters:
            raise refused(f"Missing required param: parameters[{name}].", code="parameter_missing")
    if not parameters.get("interval_start", -1) < parameters.get("interval_end", 2**62):
        raise refused("interval_start must be before interval_end.", param="parameters")
    if "payout" in parameters:
        call.named_by("payout", parameters["payout"], "parameters[payout]")
    try:
        check_columns(parameters.get("columns", ()))
        ZoneInfo(parameters.get("timezone", "Etc/UTC"))
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise refused(str(error), param="parameters") from error


def finish(call: Call, record: Record, size: int) -> None:
    """Mark a run as done: its file is there."""
    record.update(status="succeeded", succeeded_at=call.now, size=size)
    call.store.update(record)
    call.store.rows("UPDATE objects SET subtype = 'succeeded' WHERE id = ?", (record["id"],))
    record_event(call, "reporting.report_run.succeeded", KIND, record)


def render(call: Call, record: Record) -> Body:
    """Return the report run as Stripe shows it."""
    done = record["status"] == "succeeded"
    return {
        "id": record["id"],
        "object": "reporting.report_run",
        "created": record["created"],
        "error": None,
        "livemode": False,
        "parameters": record["parameters"],
        "report_type": record["report_type"],
        "result": _file(call, record) if done else None,
        "status": record["status"],
        "succeeded_at": record.get("succeeded_at"),
    }


def _file(call: Call, record: Record) -> Body:
    return {
        "id": record["file"],
        "object": "file",
        "created": record["succeeded_at"],
        "expires_at": None,
        "filename": f"{record['id']}.csv",
        "links": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/file_links?file={record['file']}",
        },
        "purpose": "finance_report_run",
        "size": record["size"],
        "title": f"FinanceReportRun {record['id']}",
        "type": "csv",
        "url": f"{call.base_url}/_sandbox/reports/{record['id']}.csv",
    }


def _create(call: Call) -> Reply:
    parameters = call.params.get("parameters", {})
    return Reply(200, render(call, new_run(call, call.params["report_type"], parameters)))


def _retrieve(call: Call) -> Reply:
    return Reply(200, render(call, call.named_in_path(KIND.name, "report_run")))


def _list(call: Call) -> Reply:
    return list_page(call, KIND, "/v1/reporting/report_runs", [])


KIND = ObjectKind("reporting.report_run", render)

PARAMETERS = nested(
    interval_start=integer(),
    interval_end=integer(),
    payout=text,
    currency=text,
    reporting_category=text,
    timezone=text,
    columns=texts,
)
_CREATE = Params(
    {"report_type": choice(*DEFAULT_COLUMNS), "parameters": PARAMETERS, "expand": texts},
    required=("report_type",),
)

ROUTES = (
    Route("POST", "/v1/reporting/report_runs", _CREATE, _create, KIND.name),
    Route("GET", "/v1/reporting/report_runs/*", Params({"expand": texts}), _retrieve, KIND.name),
    Route("GET", "/v1/reporting/report_runs", list_params(), _list, KIND.name, lists=True),
)
