"""The night as a DAG of Airflow: one command a step, in the engine's order.

Airflow says when and shows; steps, leases and cursors are the engine's, so every task may be tried
again, cleared and run at once with others. `PERENNIAL_BILLING` is the command (`billing` on PATH
where it isn't set), `PERENNIAL_ALERT` one that is given a text to send on its standard input.
"""

import logging
import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

BILLING = os.environ.get("PERENNIAL_BILLING", "billing")
ALERT = os.environ.get("PERENNIAL_ALERT", "")
STEPS = ("fetch", "stage", "match", "correct", "post", "close")
# The instant that names the run: the one that was given, or from when on this night may run.
AS_OF = "{{ params.as_of or dag_run.run_after.strftime('%Y-%m-%dT%H:%M:%SZ') }}"

FOUND_BREAKS = 3
TRY_AGAIN = (4, 7)  # something doesn't answer, or another step comes first
NOTHING_TO_TELL = 99  # Airflow shows the task as skipped

logger = logging.getLogger(__name__)


class Remembering(SubprocessHook):
    """Runs a command and remembers its exit code."""

    exit_code: int | None = None

    def run_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command as the hook does."""
        done = super().run_command(*args, **kwargs)
        self.exit_code = done.exit_code
        return done


class Billing(BashOperator):
    """A command of `billing`. It fails for good where trying again changes nothing."""

    @cached_property
    def subprocess_hook(self) -> Remembering:
        """The hook that runs the command."""
        return Remembering()

    def execute(self, context: Any) -> Any:
        """Run the command, and tell the alert from the error that is retried."""
        try:
            return super().execute(context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if self.subprocess_hook.exit_code in TRY_AGAIN:
                raise
            raise AirflowFailException(str(error)) from error


def failed(context: Any) -> None:
    """Tell that a task failed for good."""
    _tell(context, "failed; its log says why")


def found(context: Any) -> None:
    """Tell that there are breaks."""
    _tell(context, "there are some: `billing breaks list`")


def _tell(context: Any, what: str) -> None:
    task = context["task_instance"].task_id
    text = f"Perennial's night {context['dag_run'].run_id}, {task}: {what}\n"
    logger.warning(text.rstrip())
    if ALERT:
        command = shlex.split(ALERT)
        subprocess.run(command, input=text, text=True, timeout=60, check=False)  # noqa: S603


def accepting(command: str, *codes: int) -> str:
    """Return a command line that ends with 0 where the command ends with one of these codes."""
    cases = "|".join(map(str, codes))
    return f"{BILLING} {command}; code=$?; case $code in {cases}) code=0;; esac; exit $code"


with DAG(
    dag_id="perennial_night",
    description="Settles with the provider, closes, shows the close and proves the books.",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # one night reads all that the ones before it didn't
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=20),
    params={"as_of": Param(None, type=["null", "string"], description="UTC, 2026-03-02T00:00:00Z")},
    default_args={
        "retries": 60,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=6),
        "on_failure_callback": failed,
    },
    tags=["perennial"],
) as dag:
    before = None
    for step in STEPS:
        command = f"reconcile run --step {step} --as-of {AS_OF} -o json"
        task = Billing(task_id=step, bash_command=accepting(command, 0, FOUND_BREAKS))
        if before is not None:
            before >> task
        before = task

    breaks = Billing(
        task_id="breaks",
        bash_command=(
            f"found=$({BILLING} breaks list -o jsonl) || exit $?;"
            f' [ -n "$found" ] || exit {NOTHING_TO_TELL}; echo "$found"'
        ),
        skip_on_exit_code=NOTHING_TO_TELL,
        on_success_callback=found,
    )
    close_show = Billing(
        task_id="close_show", bash_command=accepting("close show -o json", 0, FOUND_BREAKS)
    )
    prove = Billing(task_id="prove", bash_command=accepting("prove -o json", 0, 6))

    before >> breaks
    before >> close_show >> prove
