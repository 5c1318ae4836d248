"""Who we are to the API server: the pod's service account, or a kubeconfig.

Promise: credentials that expire are read again while the process runs: the service account's token
by the client library, a kubeconfig (exec plugin, token file, edited by hand) by `_Reread`. What a
newcomer gets wrong: the library reads a kubeconfig once; without the hook a controller outside of
the cluster would be refused after the token's hour.
"""

import os
from typing import Any

import structlog
import trio
import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import load_incluster_config

log = structlog.get_logger(__name__)

KUBECONFIG_DEFAULT = "~/.kube/config"
REREAD_PERIOD_S = 60.0  # as often as the library reads a service account's token again
CONNECTIONS_MAX = 32  # three watches and a handful of requests; the default follows the CPU count


async def load_configuration(kubeconfig: str, context: str) -> Any:
    """The client library's configuration, to be called in asyncio.

    Raises:
        ConfigException, OSError, ValueError: There is none, or it makes no sense.
    """
    configuration: Any = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS_MAX
    if not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        return configuration
    path = kubeconfig or os.environ.get("KUBECONFIG") or KUBECONFIG_DEFAULT
    reread = _Reread(path, context)
    await reread.load(configuration)
    configuration.refresh_api_key_hook = reread.maybe_load
    return configuration


class _Reread:
    """Reads a kubeconfig again once a minute, before a request."""

    def __init__(self, path: str, context: str) -> None:
        self._path, self._context = path, context or None
        self._read_at_s = 0.0

    async def load(self, configuration: Any) -> None:
        """Read it. Raises as `load_configuration`."""
        self._read_at_s = trio.current_time()
        try:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=self._path,
                context=self._context,
                client_configuration=configuration,
                persist_config=False,
            )
        except (yaml.YAMLError, AttributeError, TypeError) as error:  # the library checks no shape
            raise ConfigException(f"{self._path}: {error}") from error

    async def maybe_load(self, configuration: Any) -> None:
        """Read it if it is time; what cannot be read leaves the credentials as they are."""
        if trio.current_time() - self._read_at_s < REREAD_PERIOD_S:
            return
        try:
            await self.load(configuration)
        except (ConfigException, OSError, ValueError) as error:
            log.warning("kubeconfig_unreadable", path=self._path, error=str(error))
