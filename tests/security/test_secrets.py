"""The token and the texts are for their owner alone (SC8)."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from security.hostile_server import WildServer, whole
from strict_raven import Response
from support.eventually import eventually
from support.network_paths import open_the_way_to
from support.processes import COMMAND, Daemon, Home

OPAQUE = "rvn_s3cr3t-opaque.0123456789abcdef"
"""A token that is no JSON Web Token: nothing in its looks gives it away."""


@contextlib.contextmanager
def open_umask() -> Iterator[None]:
    """Everything is made as open as the program lets it be."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def arguments_of(daemon: Daemon) -> list[str]:
    """The command lines of the agent and of every process it started, as anybody on the machine can read them."""
    process = psutil.Process(daemon.process.pid)
    return [Path(f"/proc/{found.pid}/cmdline").read_text() for found in (process, *process.children(recursive=True))]


def test_sc8_the_token_stands_in_its_file_and_nowhere_else(home: Home, wild: WildServer, tmp_path: Path) -> None:
    """Not in the log at level debug, on stderr, in an error, `doctor`, its bundle, `status`, an argument or a file of
    the home; also not where the server's error text repeats it.
    """
    said = []

    def run(*arguments: str | Path, stdin: str = "") -> None:
        ran = home.run(*arguments, "-v", stdin=stdin)
        said.append(ran.out + ran.err)

    home.extra = {"RAVEN_AGENT_LOG": "debug"}
    run("login", wild.url, "--workspace", wild.workspace, "--name", "raven", "--token-stdin", stdin=wild.token)
    home.write("a.md", "a\n")
    run("link", home.folder, "--yes", "--wait")
    echo = f'{{"statusCode":400,"message":"bad Authorization: Bearer {wild.token} ({wild.token})"}}'.encode()
    for status in (400, 401, 403):
        wild.answer("push-batch", whole(echo, status))
        home.write("a.md", f"a {status}\n")
        run("sync", "--json")
    home.command = COMMAND  # the daemon's arguments are looked at
    with home.daemon() as daemon:
        home.command = None
        home.write("b.md", "b\n")
        daemon.call("sync")
        run("status", "--json")
        run("doctor", "--json")
        run("doctor", "--bundle", tmp_path / "bundle.zip")
        run("servers")
        run("activity")
        run("logs")
        run("login", wild.url, "--workspace", "w", "--name", "raven", "--token-stdin", stdin=wild.token + "x")
        run("config", "get")
        argv = arguments_of(daemon)
    run("login", "http://user:" + wild.token + "@127.0.0.1:1", "--token-stdin", stdin=wild.token)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        said += [bundle.read(name).decode() for name in bundle.namelist()]
    assert not [text for text in (*said, *argv) if wild.token in text]
    holding = [
        file.name for file in home.path.rglob("*") if file.is_file() and wild.token.encode() in file.read_bytes()
    ]
    assert holding == ["credentials.json"]
    assert wild.token.encode() in (home.path / "credentials.json").read_bytes()


def test_sc8_a_token_of_any_form_stays_out_of_what_is_said(home: Home, wild: WildServer, tmp_path: Path) -> None:
    """Also one that does not look like a token, where the server repeats it in its errors."""
    home.login(wild)
    home.write("a.md", "a\n")
    home.link()
    wild.answer("", whole(f'{{"statusCode":403,"message":"no such token: {OPAQUE}"}}'.encode(), 403))
    home.extra = {"RAVEN_AGENT_LOG": "debug", "RAVEN_TOKEN": OPAQUE, "RAVEN_SERVER_URL": wild.url}
    home.write("a.md", "more\n")
    said = [home.run(*words, "-v") for words in (["sync", "--json"], ["status", "--json"], ["doctor"], ["activity"])]
    with home.daemon() as daemon:
        daemon.call("sync")
        said.append(home.run("doctor", "--bundle", tmp_path / "bundle.zip"))
    texts = [ran.out + ran.err for ran in said]
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        texts += [bundle.read(name).decode() for name in bundle.namelist()]
    texts += [file.read_bytes().decode("utf-8", "replace") for file in home.path.rglob("*") if file.is_file()]
    assert any(headers["authorization"] == f"Bearer {OPAQUE}" for _, headers in wild.seen)
    assert not [text for text in texts if OPAQUE in text]


AWKWARD = 'rvn/b"c\\d-0123456789abcdef'
"""A token that JSON may write in several ways."""


def test_sc8_a_token_in_good_answers_stays_out_of_messages(home: Home, wild: WildServer, tmp_path: Path) -> None:
    """As the reason of a rejected file, the name of a source, the path of an event, an id, however it is spelled: none
    of it reaches the log, the status, the activity, the index or the bundle.
    """
    home.login(wild)
    home.write("a.md", "a\n")
    home.link()
    echo(wild, AWKWARD)
    home.extra = {"RAVEN_AGENT_LOG": "debug", "RAVEN_TOKEN": AWKWARD, "RAVEN_SERVER_URL": wild.url}
    home.write("a.md", "more\n")
    said = [home.run("sync", "--json", "-v"), home.run("sources", "--json", "-v")]
    event = {"id": AWKWARD, "cursor": 900, "type": "file.upsert", "relativePath": f"{AWKWARD}.md", "payload": {}}
    wild.answer("deltas", whole(spelled_out({"events": [event]}).encode()))
    said.append(home.run("sync", "-v"))
    bundled = ["doctor", "--bundle", tmp_path / "bundle.zip"]
    said += [home.run(*words, "-v") for words in (["status"], ["activity"], bundled, ["logs"])]
    texts = [ran.out + ran.err for ran in said]
    with zipfile.ZipFile(tmp_path / "bundle.zip") as bundle:
        texts += [bundle.read(name).decode() for name in bundle.namelist()]
    texts += [file.read_bytes().decode("utf-8", "replace") for file in home.path.rglob("*") if file.is_file()]
    assert "no room for [token]" in "".join(texts)
    assert "source of [token]" in "".join(texts)
    for form in (AWKWARD, json.dumps(AWKWARD)[1:-1]):
        assert not [text for text in texts if form in text]


def echo(server: WildServer, token: str) -> None:
    """Have the server take this token as its own, and repeat it: it refuses every file with it, and has given its
    sources that name.
    """
    honest = server.raven.handle

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        asked = json.loads(body)
        if path.endswith("push-batch") and asked["items"]:
            items = [
                {"operationId": item["operationId"], "status": "rejected", "reason": f"no room for {token}"}
                for item in asked["items"]
            ]
            return Response(200, {}, spelled_out({"applied": 0, "conflicts": 0, "items": items}).encode())
        own = {"authorization": f"Bearer {server.token}"} if headers["authorization"] == f"Bearer {token}" else {}
        answer = honest(method, path, {**headers, **own}, body)
        if not path.endswith("sources/list"):
            return answer
        sources = [source | {"name": f"source of {token}"} for source in json.loads(answer.body)["data"]]
        return replace(answer, body=json.dumps(sources).encode())

    server.raven.handle = handle  # type: ignore[method-assign]


def spelled_out(document: object) -> str:
    """JSON in which every character of a text is an escape, as no parser minds."""
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: escapes(json.loads(found.group())), json.dumps(document))


def escapes(text: str) -> str:
    """A JSON text of nothing but escapes."""
    return '"' + "".join(f"\\u{ord(char):04x}" for char in text) + '"'


def modes(top: Path) -> dict[str, str]:
    """Mode of everything below a folder and of the folder, where others could do anything with it."""
    found = {}
    for path in (top, *top.rglob("*")):
        # What the agent writes under another name first may be gone between the listing and the look.
        with contextlib.suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if stat.S_IMODE(mode) & 0o077:
                found[str(path)] = stat.filemode(mode)
    return found


def test_sc8_all_agent_files_are_private_under_an_open_umask(home: Home) -> None:
    """Credentials, index and its log, registry, lock, socket, log, trash, the hub's secret, log and database: 0600,
    folders 0700, as long as the daemon and its hub run and afterwards, and after the log began a new file.
    """
    with open_umask():
        home.write("a.md", "one\n")
        home.run("config", "set", "log_level", "debug")
        ran = home.run("link", home.folder, "--yes", "--wait", "--json")
        assert ran.code == 0, ran
        with home.daemon() as daemon:
            home.write("a.md", "two\n")
            daemon.call("sync")
            made = {path.name for path in home.path.rglob("*")}
            assert {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "registry.json", "agent.lock", "agent.sock",
                    "agent.log", "secret", "hub.db", "hub.db-wal", "hub.log", "config.toml"} <= made  # fmt: skip
            assert modes(home.path) == {}
        with (home.path / "logs/agent.log").open("ab") as log:
            log.truncate(5_000_000)
        with home.daemon() as daemon:
            with socket.socket(socket.AF_UNIX) as nonsense:
                nonsense.connect(str(home.path / "agent.sock"))
                nonsense.sendall(b"POST /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n{")
                assert nonsense.recv(1000)
            eventually((home.path / "logs/agent.log.1").exists, what="the log is rotated")
            assert modes(home.path) == {}
            daemon.call("sync")
        assert modes(home.path) == {}


def test_sc8_a_stored_token_is_private_from_the_first_moment(home: Home, wild: WildServer) -> None:
    """The credentials file and its folder, under an open umask."""
    with open_umask():
        home.login(wild)
    assert stat.filemode((home.path / "credentials.json").stat().st_mode) == "-rw-------"
    assert modes(home.path) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_sc8_another_user_can_use_neither_socket_nor_home(home: Home, wild: WildServer) -> None:
    """Even where every folder above the home lets everybody in."""
    home.login(wild)
    home.write("a.md", "secret\n")
    home.link()
    open_the_way_to(home.path)
    script = (
        "import os, socket, sys\n"
        "home, nobody = sys.argv[1], int(sys.argv[2])\n"
        "os.setgroups([]); os.setgid(nobody); os.setuid(nobody)\n"
        "def refused(use):\n"
        "    try:\n"
        "        use()\n"
        "    except PermissionError:\n"
        "        return True\n"
        "    return False\n"
        "os.stat(os.path.dirname(home))\n"
        "names = ['agent.sock', 'credentials.json', 'index.sqlite', 'registry.json', 'agent.lock', 'logs/agent.log']\n"
        "files = [refused(lambda: open(os.path.join(home, name))) for name in names]\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "print(all(files), refused(lambda: os.listdir(home)), refused(lambda: sock.connect(home + '/agent.sock')))\n"
    )
    # The child gives its rights up itself: another user may not be able to start this interpreter.
    command = [sys.executable, "-c", script, str(home.path), str(pwd.getpwnam("nobody").pw_uid)]
    with home.daemon(), socket.socket(socket.AF_UNIX) as ours:
        ours.connect(str(home.path / "agent.sock"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True", "True"], done


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_sc8_a_token_file_others_can_read_is_refused(home: Home, wild: WildServer, tmp_path: Path, mode: int) -> None:
    """By `login`, from the environment and where it is the stored one; nothing is sent, and the remedy is named."""
    file = tmp_path / "token"
    file.write_text(wild.token)
    file.chmod(mode)
    login = ["login", wild.url, "--workspace", wild.workspace, "--name", "raven"]
    ran = home.run(*login, "--token-file", file)
    assert ran.code != 0
    assert "chmod 600" in ran.err
    assert wild.seen == []
    home.login(wild)
    (home.path / "credentials.json").chmod(mode)
    asked = len(wild.seen)
    for extra in ({}, {"RAVEN_TOKEN_FILE": str(file), "RAVEN_SERVER_URL": wild.url}):
        home.extra = extra
        ran = home.run("sources")
        assert ran.code != 0
        assert "can read it" in ran.err
        assert wild.token not in ran.err + ran.out
    assert len(wild.seen) == asked


def test_sc8_login_puts_no_token_into_an_argument(home: Home, wild: WildServer) -> None:
    """There is no option that would take one, and while `login` works none of its processes shows it."""
    shown = home.run("login", "--help").out
    assert "--token-stdin" in shown
    assert home.run("login", wild.url, "--token", "x").code == 2
    looked = threading.Event()
    wild.answer("sources/list", lambda: held_back(looked))
    words = ["login", wild.url, "--workspace", wild.workspace, "--token-stdin"]
    with subprocess.Popen([*COMMAND, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=home.env) as login:  # fmt: skip
        assert login.stdin is not None
        login.stdin.write(wild.token.encode())
        login.stdin.close()
        eventually(lambda: wild.seen, what="login asks the server")
        process = psutil.Process(login.pid)
        for found in (process, *process.children(recursive=True)):
            assert wild.token not in Path(f"/proc/{found.pid}/cmdline").read_text()
        login.kill()
    looked.set()


def held_back(looked: threading.Event) -> Iterator[bytes]:
    """An answer that does not come while the test looks."""
    yield b"HTTP/1.1 200 OK\r\n"
    looked.wait(60)
