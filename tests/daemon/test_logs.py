"""The program's log by a real daemon: what a line is about, where it goes, and how it is followed."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.cli.log_reader import LogFilter, last_lines
from agent.cli.logsetup import log_to_file
from agent.settings.home import Home as AgentHome
from agent.settings.settings import Settings
from support.eventually import eventually, patience
from support.fixtures import quiet_root as quiet_root
from support.fixtures import signed_in as signed_in
from support.fixtures import strict as strict
from support.processes import COMMAND, Home
from support.servers import StrictServer


@pytest.fixture
def home(signed_in: Home) -> Home:
    """A machine with a folder that is in sync."""
    return signed_in


def pushed(home: Home, path: str) -> dict[str, Any]:
    """The activity's line about the push of a path."""
    rows = home.json("activity")
    return next(dict(row) for row in rows if row["path"] == path and row["what"] == "pushed")


def test_a_line_about_a_file_names_source_path_and_operation(home: Home) -> None:
    """The id is the one the server and ``activity`` know it by; a name with a space is in quotes."""
    home.extra["RAVEN_AGENT_LOG"] = "debug"
    with home.daemon():
        home.write("my notes.md", "text\n")
        line = eventually(lambda: re.search(r".*agent\.runtime\.activity_log: pushed .*my notes.*", home.log()), 20)
        operation = pushed(home, "my notes.md")["operation_id"]
    assert line is not None
    assert line.group().endswith(f'pushed source=notes path="my notes.md" operation={operation}')


def test_as_json_a_line_is_a_document_with_the_same_fields(home: Home) -> None:
    """Every line of the file parses, whoever wrote it."""
    home.extra["RAVEN_AGENT_LOG"] = "debug"
    assert home.run("config", "set", "log_format", "json").code == 0
    with home.daemon():
        home.write("b.md", "text\n")
        eventually(lambda: '"path": "b.md"' in home.log(), 20, "the push is logged")
        operation = pushed(home, "b.md")["operation_id"]
    rows = [json.loads(line) for line in (home.path / "logs" / "agent.log").read_text().splitlines()]
    row = next(row for row in rows if row.get("path") == "b.md")
    assert (row["message"], row["source"], row["operation"]) == ("pushed", "notes", operation)
    assert {"at", "level", "logger", "message"} <= set(row)


def test_only_what_needs_a_person_is_logged_at_the_usual_level(home: Home, strict: StrictServer) -> None:
    """A conflict is a warning; a server that goes away is one too, once, and so is its return a line."""
    with home.daemon() as daemon:
        source = daemon.source()["id"]
        strict.down()
        home.write("a.md", "mine\n")
        eventually(lambda: "offline: " in home.log(), 20, "the server's absence is logged")
        strict.up()
        eventually(lambda: "the server answers again source=notes" in home.log(), 40, "its return is logged")
        eventually(lambda: strict.text(source, "a.md") == "mine\n", 20, "the edit is sent")
        home.run("pause")
        strict.replace(source, "a.md", "theirs\n")
        home.write("a.md", "mine again\n")
        home.run("resume")
        eventually(lambda: "conflict: edit_edit source=notes path=a.md" in home.log(), 20, "the conflict is logged")
    text = home.log()
    assert text.count("WARNING agent.runtime.activity_log: offline") == 1
    assert "activity_log: pushed" not in text


@pytest.mark.usefixtures("quiet_root")
def test_no_name_begins_a_line_of_its_own(tmp_path: Path) -> None:
    """Neither in a message nor as what a line is about; a traceback keeps its lines."""
    home = AgentHome.from_environment({"RAVEN_AGENT_HOME": str(tmp_path / "h")})
    log_to_file(home, Settings())
    logging.getLogger("agent.x").warning("lost %s", "a\n2026 forged", extra={"source": "s", "path": "b\nc\udcff.md"})
    (line,) = home.log_file.read_text().splitlines()
    assert line.endswith(r'lost a\n2026 forged source=s path="b\nc\udcff.md"')


def test_the_last_lines_are_found_across_a_rotation(tmp_path: Path) -> None:
    """Oldest first, from as many files as it takes and no more."""
    log = tmp_path / "agent.log"
    for name, lines in (("agent.log", "ef"), ("agent.log.1", "cd"), ("agent.log.2", "ab")):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    assert last_lines(log, 2) == ["e", "f"]
    assert last_lines(log, 3) == ["d", "e", "f"]
    assert last_lines(log, 100) == list("abcdef")
    assert last_lines(log, 0) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_last_lines_are_those_of_the_wanted_records(tmp_path: Path, form: str) -> None:
    """Records are chosen before lines are counted, and a traceback goes with the record it belongs to."""

    def record(at: str, level: str, words: str) -> str:
        if form == "json":
            return json.dumps({"at": at, "level": level, "logger": "agent.x", "message": words})
        return f"{at} {level.upper()} agent.x: {words}"

    log = tmp_path / "agent.log"
    (tmp_path / "agent.log.1").write_text(record("2026-03-01T10:00:00.000+00:00", "error", "old") + "\n")
    trace = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: bad value"]
    failed = [record("2026-03-01T11:00:00.000+00:00", "error", "failed"), *([] if form == "json" else trace)]
    fine = [record("2026-03-01T12:00:00.000+00:00", "info", f"fine {n}") for n in range(200)]
    log.write_text("\n".join([*failed, *fine]) + "\n")
    errors = LogFilter(level="error")
    assert last_lines(log, 100, errors) == [record("2026-03-01T10:00:00.000+00:00", "error", "old"), *failed]
    assert last_lines(log, len(failed), errors) == failed
    assert last_lines(log, 2, LogFilter(level="info")) == fine[-2:]
    moment = dt.datetime(2026, 3, 1, 10, 30, tzinfo=dt.UTC)
    assert last_lines(log, 1000, LogFilter(since=moment)) == [*failed, *fine]
    assert last_lines(log, 1000, LogFilter(since=moment, level="warning")) == failed


class Journal:
    """A stand-in for the journal: the socket a service's stderr is, and systemd's tool to read it by."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = socket.socketpair()
        self._asked = folder / "asked"
        self.lines = folder / "lines"
        tool = folder / "journalctl"
        tool.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            f"open({str(self._asked)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
            f"print(open({str(self.lines)!r}).read(), end='', flush=True)\n"
        )
        tool.chmod(0o755)
        self.said = b""
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def stream(self) -> str:
        """What systemd sets for a service whose stderr this is."""
        found = os.fstat(self.theirs.fileno())
        return f"{found.st_dev}:{found.st_ino}"

    def asked(self) -> list[str]:
        """The arguments of the newest question."""
        return list(json.loads(self._asked.read_text().splitlines()[-1]))

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while part := self.ours.recv(1 << 16):
                self.said += part


@pytest.mark.skipif(sys.platform != "linux", reason="the journal is Linux's")
def test_a_service_logs_to_the_journal_and_logs_reads_it_there(home: Home, tmp_path: Path) -> None:
    """With a priority on each line, without a time of its own and without a file; ``logs`` asks for our units only."""
    tools = tmp_path / "tools"
    tools.mkdir()
    journal = Journal(tools)
    journal.lines.write_text("one\ntwo\n")
    home.extra |= {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "RAVEN_AGENT_LOG": "debug"}
    process = subprocess.Popen(
        [*COMMAND, "run"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=journal.theirs.fileno(),
        env={**home.env, "JOURNAL_STREAM": journal.stream}, cwd="/",
    )  # fmt: skip
    try:
        home.write("b.md", "text\n")
        eventually(lambda: b"path=b.md" in journal.said, 30, "the push is in the journal")
        assert home.json("logs", "-n", "7") == {"file": None, "lines": ["one", "two"]}
        asked = journal.asked()
        home.run("logs", "--level", "warning", "--since", "1h")
        chosen = journal.asked()
        followed = home.run("logs", "-f")
    finally:
        process.terminate()
        process.wait(patience(15))
    assert re.search(rb"^<7>agent\.runtime\.activity_log: pushed source=notes path=b\.md", journal.said, re.MULTILINE)
    assert not (home.path / "logs" / "agent.log").exists()
    assert "--lines=7" in asked and "_SYSTEMD_USER_UNIT=raven-agent.service" in asked
    assert (followed.code, followed.out) == (0, "one\ntwo\n")
    assert "--follow" in journal.asked()
    assert "--priority=4" in chosen and any(word.startswith("--since=@") for word in chosen)
    assert not any(word.startswith(("--since", "--priority")) for word in asked)


@pytest.mark.parametrize("words", [("logs", "-f"), ("activity", "-f"), ("status", "--watch")], ids=" ".join)
def test_what_is_followed_comes_as_it_happens(home: Home, words: tuple[str, ...]) -> None:
    """One JSON document a line, while the daemon works; an interrupt ends it with 130."""
    home.extra["RAVEN_AGENT_LOG"] = "debug"
    with home.daemon():
        follower = subprocess.Popen(
            [*COMMAND, *words, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=home.env,
            cwd=home.folder, text=True,
        )  # fmt: skip
        assert follower.stdout is not None
        lines: list[str] = []
        readline = follower.stdout.readline
        reader = threading.Thread(target=lambda: lines.extend(iter(readline, "")), daemon=True)
        reader.start()
        if words[0] != "logs":
            eventually(lambda: lines, 20, "the first line comes")
        home.write("new.md", "text\n")
        told = re.compile(r'"files": ?2\b' if words[0] == "status" else r"new\.md")
        eventually(lambda: any(told.search(line) for line in lines), 20, "the change is told")
        follower.send_signal(2)
        assert follower.wait(patience(10)) == 130
        reader.join(patience(10))
        follower.stdout.close()
    assert all(isinstance(json.loads(line), dict) for line in lines)
