"""The entry point: the command group, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

import click

from agent import __version__
from agent.cli.command import CONTEXT, LazyGroup
from agent.cli.exits import Exit, for_error
from agent.cli.output import Form, show_error
from agent.core.errors import AgentError

PROGRAM: Final = "raven-agent"

_PLACES: Final = {
    "up": "agent.cli.up",
    "login": "agent.cli.accounts",
    "logout": "agent.cli.accounts",
    "servers": "agent.cli.accounts",
    "link": "agent.cli.folders",
    "unlink": "agent.cli.folders",
    "move": "agent.cli.folders",
    "rules": "agent.cli.folders",
    "sources": "agent.cli.folders",
    "run": "agent.cli.run",
    "sync": "agent.cli.syncing",
    "status": "agent.cli.looking",
    "files": "agent.cli.looking",
    "explain": "agent.cli.looking",
    "retry": "agent.cli.syncing",
    "conflicts": "agent.cli.conflicts",
    "diff": "agent.cli.conflicts",
    "resolve": "agent.cli.conflicts",
    "history": "agent.cli.versions",
    "restore": "agent.cli.versions",
    "trash": "agent.cli.versions",
    "pause": "agent.cli.syncing",
    "resume": "agent.cli.syncing",
    "activity": "agent.cli.looking",
    "logs": "agent.cli.support",
    "doctor": "agent.cli.support",
    "config": "agent.cli.settings",
    "service": "agent.cli.service",
    "hub": "agent.cli.hub",
    "completion": "agent.cli.support",
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
