"""Helping oneself: doctor, logs, completion."""

from __future__ import annotations

import io
import json
import platform
import sys
import time
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from agent import __version__
from agent.cli import render
from agent.cli.checks import check, own_checks
from agent.cli.command import FILE, App, command
from agent.cli.exits import Exit
from agent.cli.output import Line
from agent.core.errors import AgentError

LOG_LINES: Final = 100
BUNDLE_LINES: Final = 5000
TAIL_SECONDS: Final = 0.25


class NoLog(AgentError):
    """There is no log file to read."""

    code = "no_log"


@command("doctor")
@click.option("--bundle", type=FILE, metavar="FILE", help="Also write what a helper needs, without any token, to FILE.")
def doctor_command(app: App, bundle: Path | None) -> Exit:
    """Check that all is well, with remedies.

    Settings, servers, clock, permissions, watch limits, index.
    """
    document = examine(app)
    if bundle is not None:
        write_bundle(app, bundle, document)
        app.output.note(f"wrote {bundle}")
    app.output.data(document, render.doctor)
    return Exit.DONE if document["ok"] else Exit.FAILED


def examine(app: App) -> dict[str, Any]:
    """The doctor's document: what can be looked at from here, then what the agent says of itself."""
    rows = {row["check"]: row for row in own_checks(app.home)}
    try:
        rows |= {row["check"]: row for row in app.call("doctor", {})["checks"]}
    except AgentError as error:
        rows["agent"] = check("agent", error.message, error.hint or "raven-agent logs")
    except Exception as error:
        # Whatever is broken, the other rows are worth showing.
        rows["agent"] = check("agent", f"{type(error).__name__}: {error}", "raven-agent status -v")
    return {"ok": all(row["ok"] for row in rows.values()), "checks": list(rows.values())}


def write_bundle(app: App, target: Path, document: dict[str, Any]) -> None:
    """A zip of versions, checks, status, settings and the end of the log; what looks like a token is blotted out.

    Raises:
        AgentError: the file cannot be written.
    """
    from agent.cli.logsetup import scrub
    from agent.config import write_atomically

    parts = {"doctor.json": json.dumps(document, indent=2), "versions.json": json.dumps(_versions(), indent=2)}
    try:
        parts["status.json"] = json.dumps(app.call("status", {}), indent=2)
    except Exception as error:
        parts["status.txt"] = str(error)
    if app.home.config_file.exists():
        parts["config.toml"] = app.home.config_file.read_text("utf-8", "replace")
    parts["agent.log"] = "\n".join(last_lines(app.home.log_file, BUNDLE_LINES))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, scrub(text))
    try:
        write_atomically(target.absolute(), packed.getvalue())
    except OSError as error:
        raise AgentError(f"cannot write {target}: {error.strerror}") from error


def _versions() -> dict[str, str]:
    return {
        "raven-agent": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "encoding": sys.getfilesystemencoding(),
    }


@command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=LOG_LINES, show_default=True, help="How many lines.")
def logs_command(app: App, follow: bool, lines: int) -> Exit:
    """Show the program's own log."""
    file = app.home.log_file
    if not file.exists() and not follow:
        raise NoLog(f"there is no log at {file}", "under systemd: journalctl --user -u raven-agent")
    known = last_lines(file, lines)
    if not follow:
        app.output.data({"file": str(file), "lines": known}, lambda d: [Line(text) for text in d["lines"]])
        return Exit.DONE
    start = file.stat().st_size if file.exists() else 0
    for text in known:
        app.output.each({"line": text}, lambda d: [Line(d["line"])])
    for text in tail(file, start):
        app.output.each({"line": text}, lambda d: [Line(d["line"])])
    return Exit.DONE


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a log; none when it is not there."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip("\n") for line in deque(lines, maxlen=count)]
    except FileNotFoundError:
        return []


def tail(file: Path, position: int) -> Iterator[str]:
    """Whole lines as they are written from ``position`` on, for ever; goes on with the new file after a rotation."""
    inode, rest = _inode(file), b""
    while True:
        try:
            if _inode(file) != inode or file.stat().st_size < position:
                inode, position, rest = _inode(file), 0, b""
            with file.open("rb") as log:
                log.seek(position)
                fresh = log.read()
        except FileNotFoundError:
            fresh = b""
        position += len(fresh)
        *whole, rest = (rest + fresh).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole)
        if not fresh:
            time.sleep(TAIL_SECONDS)


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None


@command("completion", prints_data=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(app: App, shell: str) -> Exit:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(raven-agent completion bash)"
    """
    from click.shell_completion import get_completion_class

    from agent.cli.main import PROGRAM, cli

    found = get_completion_class(shell)
    assert found is not None
    variable = f"_{PROGRAM}_complete".replace("-", "_").upper()
    click.echo(found(cli, {}, PROGRAM, variable).source())
    return Exit.DONE
