"""The servers of Temporal that come as wheels, on loopback."""

import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from billing.embedded.servers import free_port, port_answers
from billing.workers.temporal.night import Night
from billing.workers.temporal.serving import worker
from billing.workers.temporal.values import NightOrder, NightStanding
from tests import processes
from tests.cli.world import World
from tests.waiting import until

BIN: Final = Path(sys.executable).parent
Handle = WorkflowHandle[Night, NightStanding]


class DevServer:
    """A development server that may be killed and started again over the same file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._port = free_port()
        self._running = ExitStack()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [
            f"{BIN}/temporal", "server", "start-dev", "--headless", "--ip", "127.0.0.1",
            "--port", str(self._port), "--db-filename", str(self._file), "--log-level", "error",
        ]  # fmt: skip
        self._running.enter_context(processes.running(command, stdout=-3, stderr=-3))
        until(lambda: port_answers(self._port) and self._knows_its_namespace(), "Temporal's server")

    def _knows_its_namespace(self) -> bool:
        command = [
            f"{BIN}/temporal",
            "operator",
            "namespace",
            "describe",
            "--address",
            self.address,
        ]
        asked = subprocess.run([*command, "-n", "default"], capture_output=True, check=False)
        return asked.returncode == 0

    def kill(self) -> None:
        """Kill it with -9."""
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


@asynccontextmanager
async def time_skipped() -> AsyncIterator[WorkflowEnvironment]:
    """Run a server on which nobody waits: where nothing is under way, time jumps ahead."""
    path = str(BIN / "temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=path) as env:
        yield env


@asynccontextmanager
async def working(client: Client, world: World) -> AsyncIterator[None]:
    """Run a worker in this process."""
    with closing(world.runtime()) as runtime, ThreadPoolExecutor() as executor:
        async with worker(client, runtime, executor):
            yield


async def begin(client: Client, order: NightOrder | None = None) -> Handle:
    """Start a night."""
    return await client.start_workflow(
        Night.run, order or NightOrder(), id="perennial-night-1", task_queue="perennial"
    )
