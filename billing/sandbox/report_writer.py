"""Writes the files of report runs, beside the requests, and keeps them."""

import threading
from pathlib import Path
from zoneinfo import ZoneInfo

from billing.sandbox import reports
from billing.sandbox.account import SandboxAccount
from billing.sandbox.report_lines import lines_of
from billing.sandbox.resources import report_runs
from billing.sandbox.store import Record


class ReportWriter:
    """Write the file of each report run once; a run cut short is begun anew."""

    def __init__(self, account: SandboxAccount) -> None:
        self._account = account
        self._folder = account.folder / "reports"
        self._one_at_a_time = threading.Lock()

    def run_pending(self) -> None:
        """Write the files of the runs that wait."""
        store = self._account.store
        with store.reading():
            waiting = store.select(report_runs.KIND.name, [("subtype = ?", "pending")])
        for record in reversed(waiting):
            self.run(record["id"])

    def run(self, run_id: str) -> None:
        """Write the file of a run, unless that is done."""
        store = self._account.store
        with self._one_at_a_time:
            with store.reading():
                record = store.find(report_runs.KIND.name, run_id)
            if record is None or record["status"] != "pending":
                return
            path = self._write(record)
            with store.transaction():
                report_runs.finish(self._account.call(), record, path.stat().st_size)

    def _write(self, record: Record) -> Path:
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{record['id']}.csv"
        part = path.with_suffix(".part")
        parameters = record["parameters"]
        chosen = parameters.get("columns") or reports.DEFAULT_COLUMNS[record["report_type"]]
        zone = ZoneInfo(parameters.get("timezone", "Etc/UTC"))
        lines = lines_of(self._account.call(), record["report_type"], parameters)
        with part.open("w", encoding="utf-8", newline="") as out:
            reports.write_report(out, lines, chosen, zone)
        part.replace(path)
        return path

    def file(self, name: str) -> Path | None:
        """Return the file of a run by its name, `<run>.csv`."""
        path = self._folder / name
        inside = path.parent == self._folder and path.suffix == ".csv"
        return path if inside and path.is_file() else None
