"""The hubs behind nginx with the files of packaging/compose, each part started as the Compose file says."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from websockets.sync.client import connect

from hub.fixtures import WORKSPACE, OverHttp, headers, token, upsert
from support.certificates import self_signed
from support.eventually import patience
from support.processes import Home
from support.proxies import free_port, nginx

COMPOSE = Path(__file__).parents[2] / "packaging" / "compose"
DOCKERFILE = COMPOSE.parent / "docker" / "Dockerfile"


def composed() -> dict[str, Any]:
    """The Compose file."""
    found = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


def entry_point() -> list[str]:
    """The command of the image."""
    line = re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert line is not None
    return list(json.loads(line[1]))


@dataclass(frozen=True)
class Behind:
    """Two hubs behind nginx.

    Attributes:
        url: nginx's address, over TLS.
        hubs: the processes, by service.
        context: trusts nginx's certificate.
        closing: closes the clients with the hubs.
    """

    url: str
    hubs: Mapping[str, subprocess.Popen[str]]
    context: ssl.SSLContext
    secret: bytes
    closing: contextlib.ExitStack

    def client(self) -> OverHttp:
        """A client of its own connection with a good token."""
        bearer = token(secret=self.secret)
        made = OverHttp(self.url, bearer)
        made.http.close()
        made.http = httpx.Client(base_url=self.url, headers=headers(bearer), timeout=60, verify=self.context)
        self.closing.callback(made.http.close)
        return made


@contextlib.contextmanager
def hub_service(service: Mapping[str, Any], folder: Path, secrets: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A hub with the image's entry point and the service's command and environment; its paths are the test's."""
    words = [*entry_point(), *service["command"]]
    assert words[:3] == ["raven-agent", "hub", "serve"]
    words[words.index("--data") + 1] = str(folder / "data")
    words[words.index("--listen") + 1] = f"127.0.0.1:{port}"
    environment = {name: value.replace("/run/secrets", str(secrets)) for name, value in service["environment"].items()}
    home = Home(folder)
    command = [sys.executable, "-P", "-m", "agent", *words[1:], "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**home.env, **environment}) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, shlex.join(command)
            yield process
        finally:
            process.terminate()
            process.wait(patience(15))


@pytest.fixture
def behind(tmp_path: Path, postgres: str) -> Iterator[Behind]:
    """The hubs of the Compose file on a private PostgreSQL, behind its nginx with a certificate of our own."""
    secrets = tmp_path / "secrets"
    subprocess.run([COMPOSE / "prepare.sh", secrets], check=True)
    (secrets / "hub_database").write_text(postgres)
    services = composed()["services"]
    names = [name for name in services if name.startswith("hub-")]
    ports = {name: free_port() for name in names}
    made = self_signed(tmp_path)
    port = free_port()
    configuration = (COMPOSE / "nginx.conf").read_text()
    for name in names:
        configuration = configuration.replace(f"{name}:8674", f"127.0.0.1:{ports[name]}")
    configuration = configuration.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    configuration = configuration.replace("/etc/nginx/tls/hub.pem", str(made.certificate))
    configuration = configuration.replace("/etc/nginx/tls/hub.key", str(made.key))
    with contextlib.ExitStack() as stack:
        hubs = {}
        for name in names:
            (tmp_path / name).mkdir()
            service = hub_service(services[name], tmp_path / name, secrets, ports[name])
            hubs[name] = stack.enter_context(service)
        stack.enter_context(nginx(configuration))
        context = ssl.create_default_context(cafile=str(made.certificate))
        yield Behind(f"https://127.0.0.1:{port}", hubs, context, (secrets / "hub_secret").read_bytes(), stack)


def test_the_compose_file_names_only_what_there_is() -> None:
    """Each secret, volume, file and service that is named is defined; no secret is in a command or a variable."""
    found = composed()
    services = found["services"]
    assert [name for name in services if name.startswith("hub-")] == ["hub-1", "hub-2"]
    for name, service in services.items():
        assert {"image"} <= service.keys() <= {
            "image", "build", "command", "environment", "secrets", "volumes", "ports", "depends_on", "healthcheck",
            "restart", "stop_grace_period",
        }, name  # fmt: skip
        assert set(service.get("secrets", ())) <= found["secrets"].keys(), name
        assert set(service.get("depends_on", ())) <= services.keys(), name
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, variable)
            else:
                assert not re.search("PASSWORD|SECRET|DATABASE", variable), (name, variable)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in found["volumes"] or source == "./tls" or (COMPOSE / source).exists(), volume
    assert services["hub-1"]["depends_on"]["database"]["condition"] == "service_healthy"
    assert "healthcheck" in services["database"]
    build = services["hub-1"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    """A second run keeps them, and only their owner reads them. The URL has the password."""

    def prepared() -> dict[str, str]:
        subprocess.run([COMPOSE / "prepare.sh", tmp_path / "secrets"], check=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    files = prepared()
    assert prepared() == files
    assert files.keys() == {path.rpartition("/")[2] for path in _secret_files()}
    assert f":{files['postgres_password']}@database/" in files["hub_database"]
    assert len(files["hub_secret"]) == 64
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}


def _secret_files() -> list[str]:
    return [secret["file"] for secret in composed()["secrets"].values()]


def test_everything_passes_the_proxy(behind: Behind) -> None:
    """Polls that wait, a chunk of 16 MiB, a WebSocket, health; metrics want a token there."""
    client, waiter = behind.client(), behind.client()
    source = client.source()
    timer = threading.Timer(1.0, lambda: client.push(source, upsert("a.md", "x")))
    began = time.monotonic()
    timer.start()
    assert len(waiter.ok("sources/deltas", sourceId=source, waitMs=20_000)["events"]) == 1
    assert time.monotonic() - began < patience(8)
    timer.join()
    assert client.http.get("/readyz").status_code == 200
    assert client.http.get("/metrics").status_code == 200
    assert client.http.get("/metrics", headers={"authorization": ""}).status_code == 401
    assert client.http.get("/healthz", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"

    chunk = 16 << 20
    device = {"device_id": "dev", "device_name": "d", "platform": "cli", "client_version": "1"}
    client.http.post("/api/v1/sync/devices", json=device).raise_for_status()
    body = {"share_id": source, "file_name": "video", "file_size": chunk, "chunk_size": chunk}
    session = client.http.post("/api/v1/uploads", json=body).raise_for_status().json()["session_id"]
    address = f"{behind.url.replace('https', 'wss')}/api/v1/sync/ws/dev?token={token(secret=behind.secret)}"
    with connect(address, proxy=None, ssl=behind.context) as socket:
        socket.send('{"type":"subscribe"}')
        socket.recv(timeout=patience(20))
        client.http.put(f"/api/v1/uploads/{session}/chunks/0", content=bytes(chunk)).raise_for_status()
        client.http.post(f"/api/v1/uploads/{session}/complete").raise_for_status()
        assert orjson.loads(socket.recv(timeout=patience(20)))["share_id"] == source
    for each in (client, waiter):
        each.http.close()


def test_a_killed_hub_is_no_error_for_clients(behind: Behind) -> None:
    """One of two hubs is killed while a client pushes: every answer is 200, and every item is applied once."""
    client = behind.client()
    source = client.source()
    for number in range(60):
        if number == 20:
            behind.hubs["hub-2"].kill()
        status, answer = client.ask("sources/push-batch", {"sourceId": source, "items": [upsert(f"{number}.md", "x")]})
        assert (status, answer["data"]["items"][0]["status"] in ("applied", "duplicate")) == (200, True)
    events = client.events(source)
    assert [event["cursor"] for event in events] == list(range(1, 61))
    assert client.http.headers["x-workspace-id"] == WORKSPACE
    client.http.close()
