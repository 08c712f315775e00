"""The entry point: the command group, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

import click

from agent import __version__
from agent.cli.command import CONTEXT, LazyGroup, Place
from agent.cli.exits import Exit, for_error
from agent.cli.output import Form, show_error
from agent.core.errors import AgentError

PROGRAM: Final = "raven-agent"

_PLACES: Final = {
    "up": Place("agent.cli.up", "Sync FOLDER: nothing else is needed."),
    "login": Place("agent.cli.accounts", "Check and store an account on a server."),
    "logout": Place("agent.cli.accounts", "Forget an account and its token."),
    "servers": Place("agent.cli.accounts", "List the accounts."),
    "link": Place("agent.cli.folders", "Keep FOLDER in step with a source on a server."),
    "unlink": Place("agent.cli.folders", "Stop syncing FOLDER."),
    "move": Place("agent.cli.folders", "Say that the folder OLD now stands at NEW."),
    "rules": Place("agent.cli.folders", "Show or change the patterns for FOLDER."),
    "sources": Place("agent.cli.folders", "List the server's sources."),
    "run": Place("agent.cli.run", "Run the agent in the foreground."),
    "sync": Place("agent.cli.syncing", "Make one full pass now."),
    "status": Place("agent.cli.looking", "How each source stands: one line each."),
    "files": Place("agent.cli.looking", "List files and their states."),
    "explain": Place("agent.cli.looking", "Say why PATH is or is not synced."),
    "retry": Place("agent.cli.syncing", "Try skipped or failed files again now."),
    "conflicts": Place("agent.cli.conflicts", "List parked conflicts."),
    "diff": Place("agent.cli.conflicts", "Show one conflict."),
    "resolve": Place("agent.cli.conflicts", "Resolve conflicts."),
    "history": Place("agent.cli.versions", "List the versions of PATH."),
    "restore": Place("agent.cli.versions", "Bring a version of PATH back."),
    "trash": Place("agent.cli.versions", "List what was replaced or removed here."),
    "pause": Place("agent.cli.syncing", "Stop syncing for a while, on this machine only."),
    "resume": Place("agent.cli.syncing", "Go on after a pause."),
    "activity": Place("agent.cli.looking", "What happened to files."),
    "logs": Place("agent.cli.support", "Show the program's own log."),
    "doctor": Place("agent.cli.support", "Check that all is well, with remedies."),
    "config": Place("agent.cli.settings", "Settings."),
    "service": Place("agent.cli.service", "Start the agent at login or at boot."),
    "hub": Place("agent.cli.hub", "The document server that comes with the agent."),
    "completion": Place("agent.cli.support", "Print the completion script of a shell."),
}


@click.group(cls=LazyGroup, places=_PLACES, context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
def cli() -> None:
    """Keep folders in step with a Raven-compatible document server, and never lose a paragraph.

    \b
    Start with:  raven-agent up FOLDER
    """


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Every error of any command ends here."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    form = Form.JSON if "--json" in own else Form.HUMAN
    try:
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        return int(code or Exit.DONE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        show_error(form, "usage", error.format_message(), f"{path} --help")
        return Exit.USAGE
    except click.ClickException as error:
        show_error(form, "error", error.format_message(), None)
        return Exit.FAILED
    except AgentError as error:
        show_error(form, error.code, error.message, error.hint)
        return for_error(error.code)
    except (KeyboardInterrupt, click.Abort):
        show_error(form, "interrupted", "interrupted", None)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return Exit.FAILED
    except Exception as error:
        if {"-v", "--verbose"} & set(own):
            sys.excepthook(type(error), error, error.__traceback__)
        hint = "repeat with -v for the details, and see: raven-agent doctor"
        show_error(form, "internal", f"{type(error).__name__}: {error}", hint)
        return Exit.FAILED


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A name the terminal's encoding lacks must not end the command.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))


def _forget_stdout() -> None:
    """Nobody reads any more; point stdout elsewhere so that the interpreter's last flush does not complain."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
