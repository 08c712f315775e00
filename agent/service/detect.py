"""Which service manager fits: this computer's, for this person, at this moment."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.errors import UsageError
from agent.service.autostart import autostart, has_desktop
from agent.service.errors import ServiceFailed
from agent.service.launchd import launch_agent, launch_daemon
from agent.service.model import Host, Linger, Manager, ServiceState, StartAt
from agent.service.systemd import system_manager, tool_for, user_manager

MACOS = "darwin"


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What was asked for.

    Attributes:
        at: when it is to start.
        user: whose agent; None is one's own.
        linger: whether a user's systemd is to stay after the logout.
    """

    at: StartAt
    user: str | None
    linger: Linger


def fitting(where: Host, wish: InstallRequest) -> tuple[Manager, Linger]:
    """The manager for this wish, and whether it has to linger.

    Raises:
        UsageError: the wish needs root, or a name, or makes no sense here.
        ServiceFailed: nothing here starts services.
    """
    if wish.user is not None:
        return system_wide(where, wish.user), Linger.AS_IT_IS
    if where.uid == 0 and where.env.get("SUDO_USER", "root") != "root":
        name = where.env["SUDO_USER"]
        raise UsageError("as root this would run root's own agent", f"without sudo, or: --at boot --as {name}")
    if where.platform == MACOS:
        return _own_launchd(where, wish), Linger.AS_IT_IS
    if wish.at is StartAt.BOOT and where.uid == 0:
        raise UsageError("whose agent is to start at boot?", "--at boot --as USER")
    if _systemd_answers(where):
        # At boot without root: a user's systemd that lingers is started with the system.
        return user_manager(where), Linger.ON if wish.at is StartAt.BOOT else wish.linger
    return _without_systemd(where, wish), Linger.AS_IT_IS


def system_wide(where: Host, user: str) -> Manager:
    """The system's manager, for this user.

    Raises:
        UsageError: there is no such user, or only root may.
        ServiceFailed: nothing here starts services at boot.
    """
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user!r}", "--as USER names one of this computer") from None
    if where.uid != 0:
        raise UsageError("only root installs a service for the system", f"sudo raven-agent service … --as {user}")
    if where.platform == MACOS:
        return launch_daemon(where, user)
    if not (where.top / "run/systemd/system").is_dir():
        raise ServiceFailed("this system was not booted with systemd", "start `raven-agent run` from your own init")
    return system_manager(where, user)


def _own_launchd(where: Host, wish: InstallRequest) -> Manager:
    if wish.at is StartAt.BOOT:
        raise UsageError(
            "launchd starts a user's own agent at login",
            f"sudo raven-agent service install --at boot --as {where.user}",
        )
    if wish.linger is Linger.ON:
        raise UsageError("lingering is systemd's; launchd knows none", f"--at boot --as {where.user} starts it at boot")
    return launch_agent(where)


def _without_systemd(where: Host, wish: InstallRequest) -> Manager:
    if (where.top / "run/systemd/system").is_dir():
        hint = "log in as yourself (su gives no session), or: sudo raven-agent service install --at boot --as USER"
        raise ServiceFailed("this system has systemd, but yours does not answer here", hint)
    if wish.at is StartAt.BOOT or wish.linger is Linger.ON:
        raise ServiceFailed(
            "only systemd starts an agent without a login", "start `raven-agent run` from your own init"
        )
    if not has_desktop(where):
        raise ServiceFailed(
            "there is neither systemd nor a desktop session here", "start `raven-agent run` from your own init"
        )
    return autostart(where)


def _systemd_answers(where: Host) -> bool:
    return tool_for(where, "systemctl", "--user").ask("show", "--property=Version").code == 0


def own_managers(where: Host) -> Iterator[Manager]:
    """Every one that could hold something of this person's, the likeliest first."""
    if where.platform == MACOS:
        yield launch_agent(where)
        return
    yield user_manager(where)
    yield autostart(where)


def state_here(where: Host) -> ServiceState:
    """How this person's service stands; one the system runs for them counts where they have none of their own."""
    found = [manager.state() for manager in own_managers(where)]
    if where.platform == MACOS:
        found.append(launch_daemon(where, where.user).state())
    else:
        found.append(system_manager(where, where.user).state())
    return next((one for one in found if one.installed or one.files), found[0])
