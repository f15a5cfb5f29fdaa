"""What is an extra is neither needed nor imported where it wasn't asked for."""

import subprocess
import sys
from typing import Final

from tests import processes

ROLES: Final = (
    "billing.cli.root",
    "billing.api.serving",
    "billing.workers.demo.run",
    "billing.workers.roles",
    "billing.workers.up.up",
)


def test_a_plain_installation_imports_no_job_runner() -> None:
    """Also every module of the commands, with what they import when they are called for."""
    code = (
        "import importlib, pkgutil, sys\n"
        "for missing in ('temporalio', 'airflow'):\n"
        "    sys.modules[missing] = None\n"
        f"for name in {ROLES}:\n"
        "    importlib.import_module(name)\n"
        "from billing.cli import commands\n"
        "for found in pkgutil.iter_modules(commands.__path__, 'billing.cli.commands.'):\n"
        "    importlib.import_module(found.name)\n"
        "print([name for name in sys.modules if name.startswith('billing.workers.temporal')])\n"
    )

    done: subprocess.CompletedProcess[str] = processes.run([sys.executable, "-c", code])

    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
