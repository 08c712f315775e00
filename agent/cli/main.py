"""Entry point: the command group, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Final

import click

from agent import __version__
from agent.cli.command import CONTEXT, CommandSpec, LazyGroup
from agent.cli.exit_codes import ExitCode, for_error
from agent.cli.output import OutputFormat, forget, show_error
from agent.core.errors import AgentError

PROGRAM: Final = "raven-agent"

START: Final = "Start here"
DAILY: Final = "Every day"
TROUBLE: Final = "When something is wrong"
SERVERS: Final = "Servers and sources"
MACHINE: Final = "This machine"

_PLACES: Final = {
    "up": CommandSpec("agent.cli.commands.up", "Sync FOLDER: nothing else is needed.", START),
    "status": CommandSpec("agent.cli.commands.status", "Show the state of each source, one line each.", START),
    "sync": CommandSpec("agent.cli.commands.sync", "Make one full pass now.", START),
    "ui": CommandSpec("agent.cli.commands.ui", "Open the dashboard in the browser.", START),
    "help": CommandSpec("agent.cli.commands.support", "Show the help of a command.", START),
    "files": CommandSpec("agent.cli.commands.status", "List files and their states.", DAILY),
    "explain": CommandSpec("agent.cli.commands.status", "Show why PATH is or is not synced.", DAILY),
    "conflicts": CommandSpec("agent.cli.commands.conflicts", "List parked conflicts.", DAILY),
    "diff": CommandSpec("agent.cli.commands.conflicts", "Show one conflict.", DAILY),
    "resolve": CommandSpec("agent.cli.commands.conflicts", "Resolve conflicts.", DAILY),
    "drafts": CommandSpec(
        "agent.cli.commands.conflicts", "List your kept merges, or show the one of conflict ID.", DAILY
    ),
    "history": CommandSpec("agent.cli.commands.history", "List the versions of PATH.", DAILY),
    "show": CommandSpec("agent.cli.commands.history", "Write the content of one version of PATH.", DAILY),
    "restore": CommandSpec("agent.cli.commands.history", "Bring a version of PATH back.", DAILY),
    "trash": CommandSpec("agent.cli.commands.history", "List what was replaced or removed here.", DAILY),
    "activity": CommandSpec("agent.cli.commands.status", "Show what happened to files.", DAILY),
    "events": CommandSpec(
        "agent.cli.commands.status", "Show changes of status, conflicts and activity as one stream.", DAILY
    ),
    "rules": CommandSpec("agent.cli.commands.folders", "Show or change the patterns for FOLDER.", DAILY),
    "pause": CommandSpec("agent.cli.commands.sync", "Stop syncing for a while, on this machine only.", DAILY),
    "resume": CommandSpec("agent.cli.commands.sync", "Continue after a pause.", DAILY),
    "doctor": CommandSpec("agent.cli.commands.support", "Check everything, with remedies.", TROUBLE),
    "retry": CommandSpec("agent.cli.commands.sync", "Try skipped or failed files again now.", TROUBLE),
    "logs": CommandSpec("agent.cli.commands.support", "Show the program's own log.", TROUBLE),
    "login": CommandSpec("agent.cli.commands.accounts", "Check and store an account on a server.", SERVERS),
    "join": CommandSpec("agent.cli.commands.join", "Use the hub of another machine, with an invite.", SERVERS),
    "logout": CommandSpec("agent.cli.commands.accounts", "Forget an account and its token.", SERVERS),
    "servers": CommandSpec("agent.cli.commands.accounts", "List the accounts.", SERVERS),
    "sources": CommandSpec(
        "agent.cli.commands.folders", "List the servers' sources, of all accounts or of one.", SERVERS
    ),
    "devices": CommandSpec(
        "agent.cli.commands.devices", "List the devices of a ScaiDrive or Pinakes account.", SERVERS
    ),
    "link": CommandSpec("agent.cli.commands.folders", "Keep FOLDER in step with a source on a server.", SERVERS),
    "unlink": CommandSpec("agent.cli.commands.folders", "Stop syncing FOLDER.", SERVERS),
    "move": CommandSpec("agent.cli.commands.folders", "Record that the folder OLD is now at NEW.", SERVERS),
    "hub": CommandSpec("agent.cli.commands.hub", "The document server that comes with the agent.", SERVERS),
    "run": CommandSpec("agent.cli.commands.run", "Run the agent in the foreground.", MACHINE),
    "stop": CommandSpec("agent.cli.commands.stop", "End the agent of this home.", MACHINE),
    "service": CommandSpec("agent.cli.commands.service", "Start the agent at login or at boot.", MACHINE),
    "config": CommandSpec("agent.cli.commands.settings", "Settings.", MACHINE),
    "completion": CommandSpec("agent.cli.commands.support", "Print the completion script of a shell.", MACHINE),
}


@click.group(cls=LazyGroup, places=_PLACES, context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
def cli() -> None:
    """Keep folders in step with a Raven-compatible document server, and never lose a paragraph.

    \b
    Start with:  raven-agent up FOLDER
    """


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. The errors of all commands end here."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    form = OutputFormat.JSON if "--json" in own else OutputFormat.HUMAN
    try:
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        return int(code or ExitCode.DONE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        lists = " lists the commands" if error.ctx and isinstance(error.ctx.command, click.Group) else ""
        show_error(form, "usage", error.format_message(), f"{path} --help{lists}")
        return ExitCode.USAGE
    except click.ClickException as error:
        show_error(form, "error", error.format_message(), None)
        return ExitCode.FAILED
    except AgentError as error:
        show_error(form, error.code, error.message, error.hint)
        return for_error(error.code)
    except (KeyboardInterrupt, click.Abort):
        show_error(form, "interrupted", "interrupted", None)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        forget(sys.stdout)
        return ExitCode.FAILED
    except UnicodeError:
        show_error(form, "usage", "an argument or a name is not valid UTF-8", "type it in UTF-8, or use an id")
        return ExitCode.USAGE
    except OSError as error:
        if {"-v", "--verbose"} & set(own):
            sys.excepthook(type(error), error, error.__traceback__)
        show_error(form, "disk", *_of_system(error))
        return ExitCode.FAILED
    except Exception as error:
        if {"-v", "--verbose"} & set(own):
            sys.excepthook(type(error), error, error.__traceback__)
        hint = "repeat with -v for the details, and see: raven-agent doctor"
        show_error(form, "internal", f"the command failed in a way it does not know: {error}", hint)
        return ExitCode.FAILED


def _of_system(error: OSError) -> tuple[str, str]:
    """Return cause and remedy of an error of the operating system that no command has explained."""
    reason = (error.strerror or "it refused").lower()
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if isinstance(error, PermissionError):
        from pathlib import Path

        from agent.settings.owner_only_files import explain_refusal

        return explain_refusal(Path(place or "."), error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        # Without a place it may be the disk of the agent, or that of a redirected output.
        return f"the disk{f' of {place}' if place else ''} is full", "make room on it; nothing is lost"
    return (f"{place}: {reason}" if place else reason), "raven-agent doctor"


def _open_standard_streams() -> None:
    """Point closed standard streams at /dev/null, before the first file gets one of their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr.write("warning: standard output is closed, so nothing is printed; redirect it to /dev/null\n")


def main() -> None:
    """Run the console script."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A name the terminal's encoding lacks must not end the command.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))
