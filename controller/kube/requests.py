"""The ConfigMap of requests: watched by every pod, made and tidied up by this program.

Promise: an answered entry is removed by compare-and-set, so that one which a person adds meanwhile
is never lost with it. What a newcomer gets wrong: nothing here says whether a request is granted,
and nothing here says who asked; the API server has decided that whoever wrote may write.
"""

from collections.abc import Awaitable, Callable

from attrs import field, frozen

from controller.errors import CommandOutcomeUnknown, ControllerError, KubeNotFound, KubeRefused
from controller.requests import requests_of
from statemachine.observations import Request

from .informer import Informer, Source
from .names import FIELD_MANAGER, JITTER, KubeNames, KubeTimes
from .parsing import metadata, texts, version_of
from .transport import AnswerLost, Json, Transport, is_conflict

WRITE_ATTEMPTS_MAX = 5  # of a compare-and-set; people write seldom, so one conflict is rare


@frozen
class _Picture:
    """The requests; compares by version alone. `is_there`: whether the ConfigMap exists."""

    version: str
    is_there: bool
    requests: tuple[Request, ...] = field(eq=False)


class KubeRequests:
    """`Requests` on an API server; keeps nothing between calls. `jitter` is uniform in [0, 1)."""

    def __init__(
        self,
        transport: Transport,
        names: KubeNames,
        times: KubeTimes,
        jitter: Callable[[], float] = JITTER,
    ) -> None:
        self._transport, self._names, self._times = transport, names, times
        self._jitter = jitter

    async def watch(
        self,
        handler: Callable[[tuple[Request, ...]], Awaitable[None]],
        on_trouble: Callable[[str], None],
    ) -> None:
        """See `Requests.watch`. Where there is no ConfigMap an empty one is made, so that people
        need no right to make any."""

        async def show(picture: _Picture) -> None:
            if not picture.is_there:
                await self._make(on_trouble)
            await handler(picture.requests)

        query = (("fieldSelector", f"metadata.name={self._names.requests}"),)
        source = Source("requests", self._names.config_maps_path, query)
        await Informer(
            self._transport, source, self._times, _picture, show, on_trouble, self._jitter
        ).run()

    async def _make(self, on_trouble: Callable[[str], None]) -> None:
        meta = {
            "name": self._names.requests,
            "namespace": self._names.namespace,
            "labels": self._names.labels("requests"),
        }
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}}
        try:
            await self._request("POST", self._names.config_maps_path, body)
        except KubeRefused as error:
            if not is_conflict(error):
                on_trouble(str(error))
        except ControllerError as error:
            on_trouble(str(error))

    async def close(self, request_id: str) -> None:
        """See `Requests.close`.

        Raises:
            CommandOutcomeUnknown: The answer was lost.
            KubeUnavailable, KubeForbidden, KubeRefused: It was not removed.
        """
        for attempt in range(1, WRITE_ATTEMPTS_MAX + 1):
            try:
                found = await self._request("GET", self._path)
                entries = texts(found.get("data"))
                if request_id not in entries:
                    return
                del entries[request_id]
                await self._request("PUT", self._path, self._without(found, entries))
            except KubeNotFound:
                return  # everything is gone
            except KubeRefused as error:
                if not is_conflict(error) or attempt == WRITE_ATTEMPTS_MAX:
                    raise
            else:
                return

    def _without(self, found: Json, entries: dict[str, str]) -> Json:
        meta = metadata(found)
        kept = {
            key: meta[key] for key in ("labels", "annotations", "ownerReferences") if key in meta
        }
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                **kept,
                "name": self._names.requests,
                "namespace": self._names.namespace,
                "resourceVersion": version_of(found),
                "uid": meta.get("uid"),
            },
            "data": entries,
        }

    @property
    def _path(self) -> str:
        return f"{self._names.config_maps_path}/{self._names.requests}"

    async def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        query = {"fieldManager": FIELD_MANAGER} if method in ("POST", "PUT") else None
        try:
            return await self._transport.request(
                method, path, query, body, timeout_s=self._times.request_timeout_s
            )
        except AnswerLost as error:
            raise CommandOutcomeUnknown(str(error)) from error


def _picture(found: list[Json]) -> _Picture:
    if not found:
        return _Picture("", False, ())
    return _Picture(version_of(found[0]), True, requests_of(texts(found[0].get("data"))))
