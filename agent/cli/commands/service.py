"""``service``: having the agent started at login or at boot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from agent.cli.command import CONTEXT, App, command
from agent.cli.exit_codes import ExitCode
from agent.cli.humanize import short_home, short_homes
from agent.cli.output import Style, TextLine, View
from agent.core.errors import UsageError

if TYPE_CHECKING:
    from agent.service.model import Host, InstallChange, Manager, ServiceState, StartAt

as_option = click.option("--as", "user", metavar="USER", help="The system's service for this user; needs root.")


@click.group("service", context_settings=CONTEXT)
def service_command() -> None:
    """Start the agent at login or at boot.

    Through systemd, launchd, or the desktop's autostart.
    """


@command("install")
@click.option("--at", type=click.Choice(["login", "boot"]), help="When it is started; by default at login.")
@as_option
@click.option("--linger", is_flag=True, help="Let it run without a login too: from boot on, and after the logout.")
def install_command(app: App, *, at: str | None, user: str | None, linger: bool) -> ExitCode:
    """Install and start the service that fits this computer.

    Needs no root, unless it is for another user (--as). The same again changes nothing.
    """
    from agent.service.detect import InstallRequest, fitting
    from agent.service.model import InstallPlan, Linger, StartAt
    from agent.service.program import OURS, PERSONAL, find_program, variables

    if user is not None and (linger or at == StartAt.LOGIN):
        raise UsageError(
            "--as is for the system's own service, which starts at boot", "leave out --linger and --at login"
        )
    where = _here(app)
    wish = InstallRequest(_moment(at, user), user, Linger.ON if linger else Linger.AS_IT_IS)
    manager, lingers = fitting(where, wish)
    program = find_program(where.env, sys.argv[0])
    named = OURS if user is not None else PERSONAL
    if user is None:
        app.home.create()
    change = manager.install(InstallPlan(program, _is_single_file(), variables(where.env, named), lingers))
    notes = (*change.notes, *_unseen(where.env))
    return _done(app, [change], manager.state(), notes)


@command("uninstall")
@as_option
def uninstall_command(app: App, *, user: str | None) -> ExitCode:
    """Stop the service and remove all that install made; linked folders and their files stay as they are."""
    managers = _managers(app, user)
    changes = [manager.uninstall() for manager in managers]
    removed = [str(file) for change in changes for file in change.files]
    notes = [note for change in changes for note in change.notes]
    chosen = next((one for one, change in zip(managers, changes, strict=True) if change.changed), managers[0])
    return _done(app, changes, chosen.state(), notes, removed=removed)


@command("start")
@as_option
def start_command(app: App, *, user: str | None) -> ExitCode:
    """Have the installed service run now."""
    return _on_the_installed(app, user, lambda manager: manager.start())


@command("stop")
@as_option
def stop_command(app: App, *, user: str | None) -> ExitCode:
    """Have the service end until the next login or boot."""
    return _on_the_installed(app, user, lambda manager: manager.stop())


@command("status")
@as_option
def status_command(app: App, *, user: str | None) -> ExitCode:
    """Show the state of the service; exits 0 when it runs, 7 when it does not."""
    from agent.service.detect import INSTALL, background_here, state_here

    where = _here(app)
    found = state_here(where) if user is None else _managers(app, user)[0].state()
    kind, step = background_here(where) if user is None and not found.installed else (found.kind, INSTALL)
    app.output.data(status_document(_document(found), kind, step), _status_view)
    if found.running:
        return ExitCode.FAILED if found.problem else ExitCode.DONE
    return ExitCode.AGENT


def _here(app: App) -> Host:
    from agent.service.model import Host

    return Host.here(app.home)


def _moment(at: str | None, user: str | None) -> StartAt:
    from agent.service.model import StartAt

    return StartAt.BOOT if user is not None else StartAt(at or StartAt.LOGIN)


def _managers(app: App, user: str | None) -> list[Manager]:
    from agent.service.detect import own_managers, system_wide

    where = _here(app)
    return list(own_managers(where)) if user is None else [system_wide(where, user)]


def _on_the_installed(app: App, user: str | None, act: Callable[[Manager], InstallChange]) -> ExitCode:
    from agent.service.detect import in_background
    from agent.service.errors import NotInstalled

    managers = _managers(app, user)
    chosen = next((manager for manager in managers if manager.state().installed), managers[0])
    try:
        change = act(chosen)
    except NotInstalled as error:
        raise NotInstalled(error.message, error.hint if user else in_background(_here(app))) from error
    return _done(app, [change], chosen.state(), change.notes)


def _done(
    app: App, changes: Iterable[InstallChange], state: ServiceState, notes: Iterable[str], **more: Any
) -> ExitCode:
    changed = any(change.changed for change in changes)
    app.output.done({"changed": changed, **_document(state), **more, "notes": list(notes)}, _view)
    return ExitCode.DONE


def _document(state: ServiceState) -> dict[str, Any]:
    return {
        "installed": state.installed,
        "running": state.running,
        "manager": state.kind.value,
        "at": state.at.value,
        "user": state.user,
        "name": state.name,
        "pid": state.pid,
        "status": state.words,
        "program": str(state.program) if state.program else None,
        "files": [str(file) for file in state.files],
        "detail": state.detail,
        "problem": state.problem,
        "remedy": state.remedy,
    }


def _view(document: Any) -> View:
    runs = f"runs (pid {document['pid']})" if document["pid"] else "runs" if document["running"] else "does not run"
    detail = short_homes(document["detail"])
    head = f"{detail}: {runs}" if document["installed"] else detail
    # The removed files come first: what is said then is the state after the removal.
    lines = [TextLine(f"removed: {short_home(file)}", Style.ASIDE) for file in document.get("removed", ())]
    lines.append(TextLine(head, Style.GOOD if document["running"] else Style.PLAIN))
    if document.get("changed") is False:
        lines.append(TextLine("nothing had to be changed", Style.ASIDE))
    if document["status"]:
        lines.append(TextLine(document["status"]))
    # A dry run writes nothing.
    verb = "wrote" if document.get("changed") else "written to"
    lines += [TextLine(f"{verb}: {short_home(file)}", Style.ASIDE) for file in document["files"]]
    if document["program"]:
        lines.append(TextLine(f"starts: {short_home(document['program'])}", Style.ASIDE))
    # After a stop, "not running" is the wanted state.
    if document["problem"] and ("changed" not in document or document["running"]):
        lines.append(TextLine(short_homes(document["problem"]), Style.BAD))
        lines.append(TextLine(f"try: {short_homes(document['remedy'])}", Style.ASIDE))
    return lines + [TextLine(short_homes(note), Style.CARE) for note in document.get("notes", ())]


def status_document(document: dict[str, Any], kind: str | None, step: str) -> dict[str, Any]:
    """Complete the document of a service that does not run.

    Args:
        document: the state.
        kind: the manager that could start it here; None without one.
        step: what has it run where it is not installed.
    """
    if not document["installed"]:
        return {**document, "manager": kind, "remedy": document["remedy"] or step}
    if not document["running"] and not document["remedy"]:
        return {**document, "remedy": "raven-agent service start"}
    return document


def _status_view(document: Any) -> View:
    """Show the state of the service, and what has it run where it does not."""
    lines = list(_view(document))
    if not document["problem"] and document["remedy"]:
        lines.append(TextLine(f"next: {document['remedy']}", Style.ASIDE))
    return lines


def _is_single_file() -> bool:
    from agent.process.relaunch import is_frozen

    return is_frozen()


def _unseen(env: Any) -> list[str]:
    """Name what this shell has and the service lacks: the token must be stored where the service finds it."""
    names = [name for name in ("RAVEN_TOKEN", "RAVEN_JWT", "RAVEN_TOKEN_FILE", "RAVEN_SERVER_URL") if env.get(name)]
    return (
        [f"{', '.join(names)} of this shell is not the service's: raven-agent login keeps an account"] if names else []
    )


for _made in (install_command, uninstall_command, start_command, stop_command, status_command):
    service_command.add_command(_made)
