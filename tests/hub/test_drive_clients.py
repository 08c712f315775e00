"""ScaiDrive's published sample clients, as they stand in its guide, against a hub process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.hub.scaidrive.face import ROUTES
from agent.hub.scaidrive.openapi import ANSWERS, BODIES, QUERIES
from hub.drive import updated
from hub.fixtures import Running, running_hub, token

BLOCKS = re.findall(
    r"```(\w+)\n(.*?)```", (Path(__file__).parents[1] / "fixtures/scaidrive/clients.md").read_text(), re.DOTALL
)
PYTHON, WATCH = [text for kind, text in BLOCKS if kind == "python"]
[TYPESCRIPT] = [text for kind, text in BLOCKS if kind == "typescript"]
CURL = [text for kind, text in BLOCKS if kind == "bash"]


class Owner:
    """Another client of the same share, which writes what the sample clients read."""

    def __init__(self, process: Running) -> None:
        self.url = process.url
        self.token = token(secret=(process.data / "secret").read_bytes())
        self.http = httpx.Client(base_url=f"{process.url}/api/v1/", headers={"authorization": f"Bearer {self.token}"})
        self.share = self.add_share("first")

    def add_share(self, name: str) -> str:
        """A new share; returns its id."""
        owner = self.http.get("users/me").json()["id"]
        body = {"name": name, "share_type": "project", "owner_id": owner}
        return str(self.http.post("shares", json=body).raise_for_status().json()["id"])

    def create(self, name: str, content: bytes) -> str:
        """A new file; returns its id."""
        sent = {"share_id": self.share, "name": name}
        answer = self.http.post("files", data=sent, files={"file": (name, content)}).raise_for_status()
        return str(answer.json()["id"])

    def head(self, file: str) -> str:
        """The id of a file's newest version."""
        return str(self.http.get(f"files/{file}/versions").json()["versions"][0]["id"])

    def upload(self, file: str, content: bytes) -> str:
        """The id of an uploaded version that is not applied yet."""
        body = {"share_id": self.share, "file_name": "f", "file_size": len(content), "replace_file_id": file}
        begun = self.http.post("uploads", json=body).raise_for_status().json()
        self.http.put(f"uploads/{begun['session_id']}/chunks/0", content=content).raise_for_status()
        done = self.http.post(f"uploads/{begun['session_id']}/complete").raise_for_status()
        return str(done.json()["version_id"])

    def edit(self, device: str, file: str, base: str, content: bytes) -> Any:
        """Apply a new version of a file."""
        changes = [updated(file, base, self.upload(file, content))]
        body = {"device_id": device, "share_id": self.share, "changes": changes, "conflict_resolution": "MANUAL"}
        return self.http.post("sync/apply", json=body).raise_for_status().json()

    def content(self, file: str) -> bytes:
        """The content of a file."""
        return self.http.get(f"sync/download/{file}").raise_for_status().content


@pytest.fixture
def owner(process: Running) -> Iterator[Owner]:
    """The owner of a share on a hub process."""
    made = Owner(process)
    yield made
    made.http.close()


def program(name: str) -> str:
    """The path of a program. Its absence fails the run in CI, and skips the test elsewhere."""
    found = shutil.which(name)
    if found is None:
        complaint = f"{name} is not installed"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(complaint)
        pytest.skip(complaint)
    return found


def test_the_python_client_syncs_and_conflicts(owner: Owner) -> None:
    """Register, cursor, pull, advance, apply; a stale base is a conflict under MANUAL."""
    applied: list[dict[str, Any]] = []
    names: dict[str, Any] = {"apply_change_locally": applied.append}
    exec(PYTHON, names)

    async def run() -> None:
        client = names["SyncClient"](owner.url, owner.token, "dev_01J3KX")
        assert (await client.register("Alice", "macos", "1.2.0"))["device_id"] == "dev_01J3KX"
        assert await client.cursor(owner.share) == 0
        file = owner.create("spec.pdf", b"%PDF-1 \xff")
        await names["sync_share"](client, owner.share)
        assert [(c["change_type"], c["new_path"], c["resource_id"]) for c in applied] == [
            ("created", "/spec.pdf", file)
        ]
        assert await client.cursor(owner.share) == 1
        base = owner.head(file)
        answer = await client.apply(owner.share, [updated(file, base, owner.upload(file, b"two"))])
        assert answer["conflicts"] == [] and owner.content(file) == b"two"
        stale = [updated(file, base, owner.upload(file, b"three"))]
        answer = await client.apply(owner.share, stale, resolution="MANUAL")
        assert len(answer["conflicts"]) == 1 and owner.content(file) == b"two"
        await names["sync_share"](client, owner.share)
        assert [c["version_id"] for c in applied] == [base, owner.head(file)]
        await client.client.aclose()

    asyncio.run(run())


def test_the_curl_lines_do_what_the_guide_says(owner: Owner, tmp_path: Path) -> None:
    """Register, heartbeat, list, preferences, apply, conflicts, resolve, ranges: each line succeeds."""
    program("curl")
    (tmp_path / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    file = owner.create("spec.md", b"0123456789")
    ids = {
        "shr_01J3K": owner.share,
        "shr_01J4Z": owner.add_share("second"),
        "fil_01J3M": file,
        "ver_01J3P": owner.head(file),
        "ver_01J4Q": owner.upload(file, b"two"),
        "/Engineering/spec.pdf": "/spec.md",
    }
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "CURL_HOME": str(tmp_path),
        "SCAIDRIVE_URL": owner.url,
        "SCAIDRIVE_TOKEN": owner.token,
    }

    def run(line: str) -> bytes:
        for example, real in ids.items():
            line = line.replace(example, real)
        return subprocess.run(["bash", "-c", line], env=environment, check=True, stdout=subprocess.PIPE).stdout

    register, heartbeat, listed, preference, preferences, apply, conflicts, resolve, part, query = CURL
    assert json.loads(run(register))["device_name"] == "Alice MacBook Pro"
    assert run(heartbeat) == b""
    assert [device["id"] for device in json.loads(run(listed))] == ["dev_01J3KX"]
    assert json.loads(run(preference))["selected_folders"] == ["fld_01J4A", "fld_01J4B"]
    assert len(json.loads(run(preferences))["preferences"]) == 2
    assert [row["resource_id"] for row in json.loads(run(apply))["applied"]] == [file]
    assert owner.content(file) == b"two"
    assert json.loads(run(conflicts)) == []
    [conflict] = owner.edit("dev_01J3KX", file, ids["ver_01J3P"], b"three")["conflicts"]
    assert json.loads(run(conflicts)) == [conflict]
    ids["cfl_01J4R"] = conflict["id"]
    assert json.loads(run(resolve))["resolution"] == "KEEP_BOTH"
    assert json.loads(run(conflicts)) == []
    for content in (b"third", b"fourth!"):
        owner.edit("dev_01J3KX", file, owner.head(file), content)
    assert run(part) == b"fourth!"
    assert run(query) == b"fourth!"


def without_types(text: str) -> str:
    """The TypeScript sample as a compiler writes it: without types, with the constructor's assignments."""
    text = re.sub(r"^type Change = \{.*?^\};\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(
        r"constructor\(private (\w+): string, private (\w+): string, private (\w+): string\) \{\}",
        r"constructor(\1, \2, \3) { this.\1 = \1; this.\2 = \2; this.\3 = \3; }",
        text,
    )
    text = text.replace("private async", "async")
    text = re.sub(r" as \{[^}]*\}", "", text)
    return re.sub(r"(\w)\??: (?:string|number|unknown\[\]|RequestInit)(?=[,)])|(\))(?:: Promise<\w+>)", r"\1\2", text)


def test_the_typescript_client_reads_wrapped_answers(owner: Owner, tmp_path: Path) -> None:
    """Under Node, on the prefix whose answers have `data`: cursor, pull, advance, apply."""
    node = program("node")
    device = {"device_id": "ts", "device_name": "t", "platform": "web", "client_version": "1"}
    owner.http.post("sync/devices", json=device).raise_for_status()
    owner.http.get("sync/status", params={"share_id": owner.share, "device_id": "ts"}).raise_for_status()
    file = owner.create("a.md", b"1")
    change = json.dumps(updated(file, owner.head(file), owner.upload(file, b"2")))
    script = f"""{without_types(TYPESCRIPT)}
const [, , base, token, share] = process.argv;
const client = new SyncClient(base, token, "ts");
const before = await client.cursor(share);
const page = await client.pull(share, before, 10);
await client.advance(share, page.cursor);
const answer = await client.apply(share, [{change}], "MANUAL");
console.log(JSON.stringify({{ before, page, after: await client.cursor(share), answer }}));
let refused = "";
try {{ await client.pull("none", 0); }} catch (error) {{ refused = error.message; }}
console.log(refused);
"""
    (tmp_path / "client.mjs").write_text(script)
    wrapped = f"{owner.url}/scaidrive-data"
    ran = subprocess.run(
        [node, str(tmp_path / "client.mjs"), wrapped, owner.token, owner.share],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    first, refused = ran.stdout.splitlines()
    shown = json.loads(first)
    assert (shown["before"], shown["after"]) == (0, 1)
    assert [c["resource_id"] for c in shown["page"]["changes"]] == [file]
    assert [row["resource_id"] for row in shown["answer"]["applied"]] == [file]
    assert refused.startswith("404: ")
    assert owner.content(file) == b"2"


def test_the_watching_client_gets_its_nudge(owner: Owner) -> None:
    """The sample of the guide, over a WebSocket: a change in the share arrives with the share's id."""
    pytest.importorskip("websockets")
    device = {"device_id": "dev_01J3KX", "device_name": "w", "platform": "cli", "client_version": "1"}
    owner.http.post("sync/devices", json=device).raise_for_status()

    async def run() -> None:
        nudged: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def trigger_sync(share: str) -> None:
            if not nudged.done():
                nudged.set_result(share)

        names: dict[str, Any] = {"trigger_sync": trigger_sync}
        exec(WATCH, names)
        watching = asyncio.create_task(names["watch"](owner.url.replace("http", "ws"), owner.token, "dev_01J3KX"))
        number = 0
        while not nudged.done():
            # The sample does not wait until it is subscribed, so the first files may come too early for it.
            await asyncio.to_thread(owner.create, f"{number}.md", b"x")
            number += 1
            await asyncio.wait((nudged, watching), timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            assert not watching.done()
        assert await nudged == owner.share
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_two_faces_of_one_hub_are_open_at_once(owner: Owner) -> None:
    """A token's payload names the workspace, so no header is needed; without a token it is 401."""
    payload = owner.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert owner.http.get("users/me").json()["tenant_id"] == claims["workspaceId"]
    refused = httpx.get(f"{owner.url}/api/v1/users/me")
    assert (refused.status_code, refused.json()["detail"]) == (401, "Unauthorized")
    assert httpx.get(f"{owner.url}/healthz").status_code == 200


def test_the_document_names_every_route(owner: Owner) -> None:
    """Served without a token; each route with its method, and no table names a route that is not there."""
    document = httpx.get(f"{owner.url}/api/v1/openapi.json").json()
    shown = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert len(shown) == len(ROUTES)
    names = {route.name for route in ROUTES}
    assert ANSWERS.keys() | BODIES.keys() | QUERIES.keys() <= names
    silent = {route.name for route in ROUTES if route.status == 204} | {"GET sync/download/{}", "GET files/{}/content"}
    assert names - ANSWERS.keys() == silent
    assert httpx.get(f"{owner.url}/openapi.json").json()["info"]["title"] == "Raven local sync (embedded hub)"


def test_a_starting_hub_removes_old_bytes_without_a_name(tmp_path: Path) -> None:
    """A content of 49 hours ago that no row names goes; one that a file has stays, whatever its age."""
    content = bytes(range(256)) * 8192
    with running_hub(tmp_path, "--port", "0") as first:
        owner = Owner(first)
        file = owner.create("video.mp4", content)
        owner.http.close()
    [stored] = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    orphan = stored.parent / ("ab" * 32)
    orphan.write_bytes(b"orphan")
    for path in (stored, orphan):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 49 * 3600))
    with running_hub(tmp_path, "--port", "0") as second:
        assert not orphan.exists()
        again = Owner(second)
        assert again.content(file) == content
        again.http.close()
