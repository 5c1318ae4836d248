"""Credentials: a kubeconfig and a service account, both read again while the process runs."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio_asyncio
from kube_rooms import MAPS, Server, kubeconfig
from kubernetes.aio.config import incluster_config

from controller.errors import KubeForbidden, KubeUnavailable
from controller.kube import AnswerLost, ClientConfig, Transport, credentials, open_client
from controller.kube.aio import AioTransport
from controller.kube.credentials import load_configuration


def write(path: Path, url: str, token: str) -> None:
    """A kubeconfig."""
    path.write_text(json.dumps(kubeconfig(url, token)))


async def may_list(transport: Transport) -> bool:
    """Whether the server knows our token."""
    try:
        await transport.request("GET", MAPS)
    except KubeForbidden:
        return False
    return True


async def test_a_kubeconfig_is_read_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was replaced in the file is used after the period, without a restart; a file
    that is broken meanwhile changes nothing."""
    path = tmp_path / "config"
    write(path, server.url, "expired")
    async with trio_asyncio.open_loop(), open_client(ClientConfig(str(path))) as transport:
        write(path, server.url, "token-a")
        assert not await may_list(transport)
        monkeypatch.setattr(credentials, "REREAD_PERIOD_S", 0.0)
        assert await may_list(transport)
        path.write_text("{")
        assert await may_list(transport)


async def test_kubeconfig_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a cluster $KUBECONFIG is taken, as kubectl does, and a context may be chosen."""
    path = tmp_path / "config"
    both = kubeconfig(server.url, "token-a")
    both["users"].append({"name": "v", "user": {"token": "nobody"}})
    both["contexts"].append({"name": "y", "context": {"cluster": "c", "user": "v"}})
    path.write_text(json.dumps(both))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(path))
    async with trio_asyncio.open_loop():
        async with open_client(ClientConfig()) as transport:
            assert await may_list(transport)
        async with open_client(ClientConfig(context="y")) as transport:
            assert not await may_list(transport)


async def test_service_account_token_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster the token file is followed: what the kubelet rotates is sent with the next
    request after a minute, through the hook that every request calls."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    later = SimpleNamespace(now=lambda: datetime.now() + timedelta(minutes=2))
    clock = SimpleNamespace(datetime=later, timedelta=timedelta)
    async with trio_asyncio.open_loop():
        load = trio_asyncio.aio_as_trio(load_configuration)
        configuration = await load("", "")
        assert configuration.host == "https://127.0.0.1:1"
        ask = trio_asyncio.aio_as_trio(configuration.get_api_key_with_prefix)
        assert await ask("BearerToken") == "bearer first"
        token.write_text("second")
        monkeypatch.setattr(incluster_config, "datetime", clock)
        assert await ask("BearerToken") == "bearer second"


async def test_unreadable_credentials_send_nothing(transport: Transport) -> None:
    """A token that cannot be read is a definite failure of a write: nothing has left."""

    def unreadable(configuration: object) -> None:
        raise PermissionError("token")

    assert isinstance(transport, AioTransport)
    transport._api.configuration.refresh_api_key_hook = unreadable
    with pytest.raises(KubeUnavailable, match="token") as caught:
        await transport.request("POST", MAPS, body={"metadata": {"name": "x"}})
    assert not isinstance(caught.value, AnswerLost)
