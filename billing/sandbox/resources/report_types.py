"""The kinds of report there are."""

from billing.sandbox.call import Call
from billing.sandbox.errors import Body, Reply, missing_object
from billing.sandbox.params import Params, texts
from billing.sandbox.reports import DEFAULT_COLUMNS, ENDING, PAYOUT, PAYOUT_BY_ID
from billing.sandbox.routing import Route

_NAMES = {
    PAYOUT: "Itemized payout reconciliation",
    PAYOUT_BY_ID: "Itemized single payout reconciliation",
    ENDING: "Itemized ending balance reconciliation",
}


def _render(call: Call, type_id: str) -> Body:
    return {
        "id": type_id,
        "object": "reporting.report_type",
        "data_available_end": call.now,
        "data_available_start": 0,
        "default_columns": list(DEFAULT_COLUMNS[type_id]),
        "livemode": False,
        "name": _NAMES[type_id],
        "updated": call.now,
        "version": int(type_id.rpartition(".")[2]),
    }


def _retrieve(call: Call) -> Reply:
    if call.path[0] not in _NAMES:
        raise missing_object(_KIND, call.path[0], param="report_type", in_path=True)
    return Reply(200, _render(call, call.path[0]))


def _list(call: Call) -> Reply:
    data = [_render(call, type_id) for type_id in _NAMES]
    url = "/v1/reporting/report_types"
    return Reply(200, {"object": "list", "data": data, "has_more": False, "url": url})


_KIND = "reporting.report_type"
_ONLY_EXPAND = Params({"expand": texts})

ROUTES = (
    Route("GET", "/v1/reporting/report_types/*", _ONLY_EXPAND, _retrieve, _KIND),
    Route("GET", "/v1/reporting/report_types", _ONLY_EXPAND, _list, _KIND, lists=True),
)
