"""``stop``: the end of an agent that runs in the background."""

from __future__ import annotations

from typing import Any, Final

from agent.cli.command import App, command
from agent.cli.exit_codes import ExitCode
from agent.cli.output import Style, TextLine, View
from agent.core.errors import HomeLocked, UsageError

AT_LOGIN: Final = "the next login starts it again; to end that too: raven-agent service uninstall"


@command("stop")
def stop_command(app: App) -> ExitCode:
    """End the agent of this home.

    That of run, up or ui, in the background or in another terminal. What it has not sent waits for the next start. A
    service is refused, as its manager could start it again: raven-agent service stop.
    """
    from agent.service.detect import states_here
    from agent.service.model import Host
    from agent.service.running_agent import Starter, end_agent, leaders_of, running_pid, silent_holder, starter_of

    pid = running_pid(app.home)
    if pid is None:
        holder = silent_holder(app.home)
        if holder is not None:
            raise HomeLocked(
                f"{_named(holder)} holds this home and does not answer",
                "a command that is at work ends by itself; of an agent: raven-agent logs, then kill its process",
            )
        app.output.done({"changed": False, "pid": None, "notes": []}, _view)
        return ExitCode.DONE
    starter, service = starter_of(leaders_of(pid), states_here(Host.here(app.home)))
    if starter is Starter.SERVICE and service is not None:
        raise UsageError(f"the agent with pid {pid} is the service {service.name}", service.stop_command)
    end_agent(app.home, pid)
    notes = [AT_LOGIN] if starter is Starter.AUTOSTART else []
    app.output.done({"changed": True, "pid": pid, "notes": notes}, _view)
    return ExitCode.DONE


def _named(pid: int) -> str:
    return f"the process {pid}" if pid else "a process"


def _view(document: Any) -> View:
    if not document["changed"]:
        return [TextLine("no agent runs", Style.ASIDE)]
    lines = [TextLine(f"the agent with pid {document['pid']} has ended; no folder is synced now")]
    lines += [TextLine(note, Style.CARE) for note in document["notes"]]
    return [*lines, TextLine("to go on: raven-agent run, or raven-agent up FOLDER", Style.ASIDE)]
