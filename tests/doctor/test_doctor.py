"""What the doctor finds, by the real command; each broken thing is named, with one remedy, and nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import sys
import time
import zipfile
from email.utils import formatdate
from pathlib import Path
from typing import Any

import jwt
import pytest

from agent.doctor.folders import unread_ignores
from strict_raven import token
from strict_raven.faults import Fault, Strikes, delay, unauthorized
from strict_raven.wire import Response
from support.fixtures import signed_in as signed_in
from support.processes import Home
from support.servers import StrictServer

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def home(signed_in: Home) -> Home:
    """A machine with a folder that is in sync."""
    return signed_in


def doctor(home: Home) -> Rows:
    """Its rows by name. Whatever fails has a remedy and decides the exit code; whatever does not has none."""
    ran = home.run("doctor", "--json")
    document = ran.document
    names = [row["check"] for row in document["checks"]]
    assert len(names) == len(set(names))
    for row in document["checks"]:
        assert row["ok"] is (row["state"] != "failed"), row
        assert bool(row["remedy"]) is not row["ok"], row
        assert row["detail"], row
    assert document["ok"] is all(row["ok"] for row in document["checks"])
    assert ran.code == (0 if document["ok"] else 1)
    return {row["check"]: row for row in document["checks"]}


def failing(rows: Rows) -> set[str]:
    """Names of what fails."""
    return {name for name, row in rows.items() if not row["ok"]}


def standing(top: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder: mode, time, content. The time of the slots is left out: how files are swapped here is
    found out by two files that stand there for a moment.
    """
    return {
        str(path.relative_to(top)): (
            path.stat().st_mode,
            0 if path.parent.name == "slots" else path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(top.rglob("*"))
        if not path.is_socket()
    }


def test_without_an_agent_doctor_reads_all_and_changes_nothing(home: Home, strict: StrictServer) -> None:
    """Not a file of the home or of the folder, not a time, and nothing on the server."""
    before = standing(home.path.parent)
    strict.faulty.inject(delay(0.0), requests=1000)
    rows = doctor(home)
    assert failing(rows) == set()
    assert standing(home.path.parent) == before
    assert {path for _, path in strict.faulty.struck} <= {"/", "/api/local-sync/sources/list"}
    assert rows["index"]["detail"].startswith("sound")
    assert rows["swap notes"]["detail"] == "files are put in place by exchange"
    assert "free" in rows["lock"]["detail"]


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Asked before anything was set up, the doctor answers and leaves nothing behind."""
    home = Home(tmp_path)
    assert failing(doctor(home)) == set()
    assert not home.path.exists()


def test_with_an_agent_it_says_what_that_one_sees(home: Home) -> None:
    """The same rows, by the agent's own account, and who holds the home."""
    alone = set(doctor(home))
    with home.daemon() as daemon:
        rows = doctor(home)
        assert str(daemon.process.pid) in rows["lock"]["detail"]
    assert failing(rows) == set()
    assert alone <= set(rows)


def test_a_missing_refused_or_expiring_token_is_named(home: Home, strict: StrictServer) -> None:
    """With the login that mends it."""
    strict.faulty.inject(unauthorized(), requests=100, on="sources/list")
    rows = doctor(home)
    assert failing(rows) == {"server raven"}
    assert "login" in rows["server raven"]["remedy"]
    strict.faulty.clear()
    soon = jwt.decode(strict.token, options={"verify_signature": False}) | {"exp": int(time.time()) + 86_400}
    stored = json.loads((home.path / "credentials.json").read_text())
    ending = {name: jwt.encode(soon, "not the server's secret, which is never asked") for name in stored}
    (home.path / "credentials.json").write_text(json.dumps(ending))
    row = doctor(home)["credentials raven"]
    assert not row["ok"] and "ends in" in row["detail"] and "login" in row["remedy"]
    (home.path / "credentials.json").unlink()
    assert {"credentials raven", "server raven"} == failing(doctor(home))


@pytest.mark.parametrize("off", [-7200.0, 7200.0])
def test_a_clock_that_is_off_is_told_by_the_servers_date(home: Home, strict: StrictServer, off: float) -> None:
    """Whichever side is ahead."""

    def dated(_: Response | None) -> Response:
        return Response(404, {"date": formatdate(time.time() + off, usegmt=True)}, b"")

    strict.faulty.inject(Fault("a date", Strikes.BEFORE, dated))
    row = doctor(home)["clock raven"]
    assert not row["ok"]
    assert "7200 s" in row["detail"] or "7199 s" in row["detail"] or "7201 s" in row["detail"]
    assert ("behind" in row["detail"]) is (off > 0)


def test_a_check_that_cannot_be_made_says_so(home: Home, strict: StrictServer) -> None:
    """A server that tells no time, and one that is away: nothing is claimed of its clock."""
    assert doctor(home)["clock raven"]["state"] == "not_checked"
    strict.down()
    try:
        rows = doctor(home)
    finally:
        strict.up()
    assert failing(rows) == {"server raven"}
    assert {rows[name]["state"] for name in ("clock raven", "tls raven", "capabilities raven")} == {"not_checked"}


def test_the_known_fault_of_a_server_is_recognised(home: Home, strict: StrictServer) -> None:
    """What the released server answers is no reason to try for ever."""
    body = json.dumps({"statusCode": 500, "message": "Cannot read properties of undefined (reading 'toISOString')"})
    broken = Fault(
        "upstream", Strikes.BEFORE, lambda _: Response(500, {"content-type": "application/json"}, body.encode())
    )
    strict.faulty.inject(broken, requests=100, on="sources/list")
    row = doctor(home)["server raven"]
    assert "known upstream fault" in row["detail"]
    assert "updated" in row["remedy"]


@pytest.mark.parametrize(
    ("tool", "mark"),
    [
        ("Syncthing", ".stfolder/"), ("Dropbox", ".dropbox.cache/"), ("Nextcloud", ".sync_0a1b.db"),
        ("Maestral", ".maestral.cache/"), ("Resilio Sync", ".sync/ID"),
        ("OneDrive", ".849C9593-D756-4E56-8D6E-42412F2A707B"),
    ],
)  # fmt: skip
def test_another_sync_tool_in_the_folder_is_named(home: Home, tool: str, mark: str) -> None:
    """In the folder itself or in one above it."""
    for place in (home.folder, home.folder.parent):
        path = place / mark
        (path if mark.endswith("/") else path.parent).mkdir(exist_ok=True)
        if not mark.endswith("/"):
            path.write_text("")
        row = doctor(home)["other tools notes"]
        assert not row["ok"] and row["detail"].startswith(tool)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if mark == ".sync/ID":
        (home.folder.parent / ".sync").rmdir()
        (home.folder / ".sync").rmdir()
    assert doctor(home)["other tools notes"]["ok"]


def test_ignore_files_of_other_programs_are_named(tmp_path: Path) -> None:
    """None is read; one that is read says that a person has decided."""
    assert unread_ignores(tmp_path) == []
    for name in (".stignore", ".mignore", ".sync-exclude.lst"):
        (tmp_path / name).write_text("private\n")
    assert unread_ignores(tmp_path) == [".stignore", ".mignore", ".sync-exclude.lst"]
    (tmp_path / ".ravenignore").write_text("private/\n")
    assert unread_ignores(tmp_path) == []


@pytest.mark.parametrize("place", ["Dropbox", "OneDrive - Contoso", "Library/Mobile Documents/com~apple~CloudDocs"])
def test_a_folder_inside_a_synced_one_is_known_by_its_way(tmp_path: Path, strict: StrictServer, place: str) -> None:
    """Where the other tool leaves no mark, its folder's usual name is one."""
    home = Home(tmp_path)
    home.login(strict)
    home.folder = tmp_path / place / "notes"
    home.folder.mkdir(parents=True)
    home.link()
    assert "other tools notes" in failing(doctor(home))


def test_a_folder_that_is_gone_or_open_to_all_is_named(home: Home) -> None:
    """And the others' rows stay."""
    home.folder.chmod(0o777)
    assert failing(doctor(home)) == {"permissions notes"}
    home.folder.chmod(0o755)
    home.folder.rename(home.folder.with_name("elsewhere"))
    row = doctor(home)["folder notes"]
    assert not row["ok"] and "move" in row["remedy"]


def test_a_damaged_index_is_told_and_left_where_it_is(home: Home) -> None:
    """Setting it aside is the start's business, not the doctor's."""
    index = home.path / "index.sqlite"
    index.write_bytes(index.read_bytes()[:4096] + os.urandom(60_000))
    before = standing(home.path)
    assert "index" in failing(doctor(home))
    assert standing(home.path) == before


def test_an_index_of_a_newer_release_is_no_damage(home: Home) -> None:
    """What helps is the newer release, not a new index."""
    with contextlib.closing(sqlite3.connect(home.path / "index.sqlite")) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    row = doctor(home)["index"]
    assert not row["ok"] and "newer release" in row["detail"] and "update" in row["remedy"]


def test_an_agent_that_does_not_answer_is_named_by_its_pid(home: Home) -> None:
    """It holds the home; the file alone would prove nothing."""
    holder = home.path / "agent.lock"
    with home.daemon() as daemon:
        socket = Path(json.loads(holder.read_text())["socket"])
        socket.unlink()
        row = doctor(home)["lock"]
        assert not row["ok"] and str(daemon.process.pid) in row["detail"]
    holder.write_text(json.dumps({"pid": os.getpid(), "socket": str(socket)}))
    assert doctor(home)["lock"]["ok"]


def test_another_package_of_our_name_is_told(home: Home, tmp_path: Path) -> None:
    """It would be run in place of ours as soon as the order of the path changes."""
    other = tmp_path / "other" / "agent"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    home.command = (
        sys.executable, "-c",
        f"import sys; sys.path.append({str(other.parent)!r}); from agent.cli.main import main; main()",
    )  # fmt: skip
    row = doctor(home)["program"]
    assert not row["ok"] and str(other) in row["detail"] and "environment of its own" in row["remedy"]


def test_a_broken_config_takes_no_other_row_away(home: Home) -> None:
    """It is one failing row."""
    (home.path / "config.toml").write_text("quiet_ms = 'much'\n")
    rows = doctor(home)
    assert failing(rows) == {"config"}
    assert rows["folder notes"]["ok"]


def test_the_bundle_holds_no_token_even_one_that_looks_like_none(home: Home, tmp_path: Path) -> None:
    """An opaque one in the log, and one in the config's comments: both are this home's, so both are known."""
    opaque = "opaque-0123456789"
    (home.path / "credentials.json").write_text(
        json.dumps(dict.fromkeys(json.loads((home.path / "credentials.json").read_text()), opaque))
    )
    (home.path / "config.toml").write_text(f"# {opaque}\n")
    (home.path / "logs").mkdir(exist_ok=True)
    (home.path / "logs" / "agent.log").write_text(f"said {opaque} and {token()}\nfine {Path.home()}/x\n")
    bundle = tmp_path / "bundle.zip"
    home.run("doctor", "--bundle", bundle)
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {"doctor.json", "versions.json", "status.json", "config.toml", "agent.log"}
    assert not [name for name, text in texts.items() if opaque in text or token() in text]
    assert "fine ~/x" in texts["agent.log"]


def test_the_document_names_every_check(home: Home, strict: StrictServer) -> None:
    """docs/operations.md, of a machine with an account and a folder, with an agent and without one."""
    document = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    rows = [line.split(" | ")[0] for line in document.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    found = set(doctor(home))
    with home.daemon():
        found |= set(doctor(home))
    shown = {re.sub(r" (raven|notes)$", " NAME", name) for name in found}
    assert shown - documented == set()
