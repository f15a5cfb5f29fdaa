"""The way to the server of Temporal, and the names of what is ours there."""

from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from billing.config import Settings
from billing.errors import BadInput, Unavailable, first_line

SUFFIX: Final = "night"


def night_id(settings: Settings) -> str:
    """Return the name of the schedule, with which the names of its nights begin."""
    return f"{settings.temporal.task_queue}-{SUFFIX}"


async def connect(settings: Settings) -> Client:
    """Connect to the server. Raises: Unavailable, BadInput for a namespace that it hasn't."""
    temporal = settings.temporal
    key = temporal.api_key.get_secret_value()
    try:
        client = await Client.connect(
            temporal.address, namespace=temporal.namespace, api_key=key or None, tls=temporal.tls
        )
        await _find_namespace(client, temporal.namespace)
    except (RuntimeError, OSError) as error:
        raise unavailable(settings, error) from None
    except RPCError as error:
        raise _refused(settings, error) from None
    return client


async def _find_namespace(client: Client, name: str) -> None:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

    await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))


def unavailable(settings: Settings, error: Exception) -> Unavailable:
    """Return the error of a server that doesn't answer."""
    return Unavailable(
        f"Temporal doesn't answer at {settings.temporal.address}: {first_line(error)}",
        where="temporal.address",
        remedy="start it, or correct temporal.address or temporal.tls",
    )


def _refused(settings: Settings, error: RPCError) -> Exception:
    temporal = settings.temporal
    match error.status:
        case RPCStatusCode.NOT_FOUND:
            return BadInput(
                f"Temporal has no namespace {temporal.namespace!r}",
                where="temporal.namespace",
                remedy="make it with `temporal operator namespace create`, or correct the name",
            )
        case RPCStatusCode.UNAUTHENTICATED | RPCStatusCode.PERMISSION_DENIED:
            return BadInput(
                f"Temporal refuses the key: {error.message}",
                where="temporal.api_key",
                remedy="set BILLING__TEMPORAL__API_KEY_FILE to one that may use the namespace",
            )
        case _:
            return unavailable(settings, error)
