"""doctor, logs, help, completion."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from agent import __version__
from agent.cli import render
from agent.cli.checks import check, own_checks
from agent.cli.command import App, command
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.journal import follow_journal, is_in_journal, journal_lines
from agent.cli.log_reader import LEVELS, LogFilter, in_local_time, last_lines
from agent.cli.log_reader import follow as follow_file
from agent.cli.output import TextLine, writing
from agent.cli.param_types import Words
from agent.core.errors import AgentError, UsageError
from agent.service.model import USER_UNIT

LOG_LINES: Final = 100


class NoLog(AgentError):
    """There is no log to read."""

    code = "no_log"


@command("doctor")
@click.option("--bundle", type=FILE, metavar="FILE", help="Also write what a helper needs, without any token, to FILE.")
@click.option(
    "--drill",
    is_flag=False,
    flag_value="",
    metavar="[SERVER]",
    help="Also try every promise on a scratch source of SERVER, and say which the server keeps.",
)
def doctor_command(app: App, bundle: Path | None, drill: str | None) -> ExitCode:
    """Check everything, with remedies.

    Settings, accounts, servers, clocks, folders, watch limits, index. Changes nothing, with an agent running or not.

    A drill writes, edits, deletes and restores texts as two machines on a scratch source, and removes them.
    """
    document = examine(app)
    if drill is not None:
        document["drill"] = app.call("drill", {"server": drill or None})
        document["ok"] = document["ok"] and document["drill"]["ok"]
    if bundle is not None:
        write_bundle(app, bundle, document)
        app.output.note(f"wrote {bundle}")
    app.output.data(document, render.doctor)
    return ExitCode.DONE if document["ok"] else ExitCode.FAILED


def examine(app: App) -> dict[str, Any]:
    """Return the checks this process can make, then those of a running agent.

    Without a running agent none is started: a check must not change what it checks.
    """
    from agent.cli.client import daemon_of

    rows = list(own_checks(app.home))
    daemon = daemon_of(app.home)
    version = __version__
    try:
        if daemon is None:
            found = _alone(app)
        else:
            answer = daemon.call("doctor", {})
            version = answer.get("version") or version
            found = _asked(answer)
    except AgentError as error:
        found = [check("agent", error.message, error.hint or "raven-agent logs")]
    except Exception as error:
        # The other rows are worth showing, whatever is broken.
        found = [check("agent", f"{type(error).__name__}: {error}", "raven-agent status -v")]
    rows = list({row["check"]: row for row in (*rows, *found)}.values())
    return {"ok": all(row["ok"] for row in rows), "version": version, "checks": rows}


def _asked(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks of a running agent, and a failed one if it is another release than this command."""
    runs = document.get("version")
    if runs in (None, __version__):
        return list(document["checks"])
    row = check("release", f"the running agent is {runs}, this command {__version__}", "restart the agent")
    return [*document["checks"], row]


def _alone(app: App) -> list[dict[str, Any]]:
    from agent.doctor import examine_alone
    from agent.settings.settings import Settings

    try:
        settings = app.settings()
    except AgentError:
        # Their own row reports it; the defaults are good enough for the other checks.
        settings = Settings()
    return examine_alone(app.home, settings, os.environ)


def write_bundle(app: App, target: Path, document: dict[str, Any]) -> None:
    """Write the bundle for a helper. An existing file is never replaced.

    Raises:
        AgentError: the file cannot be written, or there is one.
    """
    from agent.cli.client import daemon_of
    from agent.doctor.bundle import bundle_texts, packed
    from agent.settings.settings import Settings

    daemon = daemon_of(app.home)
    status: Any = "no agent runs"
    try:
        status = daemon.call("status", {}) if daemon else status
    except AgentError as error:
        status = error.message
    settings = Settings()
    with contextlib.suppress(AgentError):
        settings = app.settings()
    content = packed(bundle_texts(app.home, settings, os.environ, document, status))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
    except FileExistsError as error:
        raise AgentError(f"{target} exists; nothing was replaced", "give --bundle the name of a new file") from error
    except OSError as error:
        raise AgentError(f"cannot write {target}: {error.strerror}") from error


@command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=LOG_LINES, show_default=True, help="How many lines.")
@click.option("--since", metavar="D", help="Only the last part, for example 2h or 3d.")
@click.option("--level", type=Words(LEVELS), help="Only this level and above.")
def logs_command(app: App, follow: bool, lines: int, since: str | None, level: str | None) -> ExitCode:
    """Show the program's own log.

    Each line names the source, the path and the operation it is about, in local time; with --json in UTC. A service's
    log is read from the journal.
    """
    file = app.home.log_file
    in_journal = is_in_journal(app.home)
    wanted = LogFilter.of(since, level)
    if follow:
        for text in follow_journal(lines, wanted) if in_journal else follow_file(file, lines, wanted):
            app.output.each({"line": text}, lambda d: [TextLine(in_local_time(d["line"]))])
        return ExitCode.DONE
    in_file = file.exists() and not in_journal
    known = last_lines(file, lines, wanted) if in_file else journal_lines(lines, wanted)
    if known is None:
        raise NoLog(f"there is no log at {file}", f"under systemd: journalctl --user -u {USER_UNIT}")
    document = {"file": str(file) if in_file else None, "lines": known}
    app.output.data(document, lambda d: [TextLine(in_local_time(text)) for text in d["lines"]])
    return ExitCode.DONE


@command("help", prints_data=False)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
def help_command(app: App, words: tuple[str, ...]) -> ExitCode:
    """Show the help of a command.

    The same as COMMAND --help.
    """
    from agent.cli.main import PROGRAM, cli

    found: click.Command = cli
    context = click.Context(cli, info_name=PROGRAM)
    for word in words:
        if not isinstance(found, click.Group):
            raise UsageError(f"{found.name} has no command {word!r}", f"{PROGRAM} help {found.name}")
        _, inner, _ = found.resolve_command(context, [word])
        assert inner is not None
        found, context = inner, click.Context(inner, info_name=word, parent=context)
    text = found.get_help(context)
    with writing():
        click.echo(text)
    return ExitCode.DONE


@command("completion", prints_data=False)
@click.argument("shell", type=Words(("bash", "zsh", "fish")), metavar="{bash|zsh|fish}")
def completion_command(app: App, shell: str) -> ExitCode:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(raven-agent completion bash)"
    """
    from agent.cli.completions import script
    from agent.cli.main import PROGRAM, cli

    text = script(shell, PROGRAM, cli)
    with writing():
        click.echo(text)
    return ExitCode.DONE
