"""Choice of the service manager for this computer and this user."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.core.errors import UsageError
from agent.service.autostart import autostart, has_desktop
from agent.service.errors import ServiceFailed
from agent.service.launchd import launch_agent, launch_daemon
from agent.service.model import Host, Linger, Manager, ManagerKind, ServiceState, StartAt
from agent.service.systemd import system_manager, tool_for, user_manager

MACOS = "darwin"
INSTALL: Final = "raven-agent service install"
OWN_INIT: Final = "start `raven-agent run` from your own init, or for now: nohup raven-agent run &"


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """The request to install a service.

    Attributes:
        at: when it starts.
        user: the user whose agent it runs; None for the person who asks.
        linger: whether the user's systemd keeps running after the logout.
    """

    at: StartAt
    user: str | None
    linger: Linger


def fitting(where: Host, request: InstallRequest) -> tuple[Manager, Linger]:
    """Return the manager for a request, and the lingering it needs.

    Raises:
        UsageError: the request needs root or a user name, or is not possible here.
        ServiceFailed: no service manager is available.
    """
    if request.user is not None:
        return system_wide(where, request.user), Linger.AS_IT_IS
    if where.uid == 0 and where.env.get("SUDO_USER", "root") != "root":
        name = where.env["SUDO_USER"]
        raise UsageError("as root this would run root's own agent", f"without sudo, or: --at boot --as {name}")
    if where.platform == MACOS:
        return _own_launchd(where, request), Linger.AS_IT_IS
    if request.at is StartAt.BOOT and where.uid == 0:
        raise UsageError("whose agent is to start at boot?", "--at boot --as USER")
    if _systemd_answers(where):
        # At boot without root: the system starts a user's systemd that lingers.
        return user_manager(where), Linger.ON if request.at is StartAt.BOOT else request.linger
    return _without_systemd(where, request), Linger.AS_IT_IS


def in_background(where: Host) -> str:
    """Return the step that has the agent run in the background here: the install, or what replaces it."""
    return background_here(where)[1]


def background_here(where: Host) -> tuple[ManagerKind | None, str]:
    """Return the manager that could start the agent here, None without one, and the step that has it run.

    Nothing is installed. A refusal that only another option lifts leaves the install as the step: it says which.
    """
    try:
        manager, _ = fitting(where, InstallRequest(StartAt.LOGIN, None, Linger.AS_IT_IS))
    except ServiceFailed as error:
        return None, error.hint or INSTALL
    except UsageError:
        return own_kind(where), INSTALL
    return manager.state().kind, INSTALL


def own_kind(where: Host) -> ManagerKind:
    """Return the kind of manager that an install would ask first."""
    return next(own_managers(where)).state().kind


def system_wide(where: Host, user: str) -> Manager:
    """Return the system's manager for a user.

    Raises:
        UsageError: the user does not exist, or the caller is not root.
        ServiceFailed: no manager here starts services at boot.
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
        raise ServiceFailed("this system was not booted with systemd", OWN_INIT)
    return system_manager(where, user)


def _own_launchd(where: Host, request: InstallRequest) -> Manager:
    if request.at is StartAt.BOOT:
        raise UsageError(
            "launchd starts a user's own agent at login",
            f"sudo raven-agent service install --at boot --as {where.user}",
        )
    if request.linger is Linger.ON:
        raise UsageError(
            "only systemd has lingering, launchd has not", f"--at boot --as {where.user} starts it at boot"
        )
    return launch_agent(where)


def _without_systemd(where: Host, request: InstallRequest) -> Manager:
    if (where.top / "run/systemd/system").is_dir():
        hint = "log in directly (su opens no session), or: sudo raven-agent service install --at boot --as USER"
        raise ServiceFailed("this system has systemd, but your user's systemd does not answer", hint)
    if request.at is StartAt.BOOT or request.linger is Linger.ON:
        raise ServiceFailed("only systemd starts an agent without a login", OWN_INIT)
    if not has_desktop(where):
        raise ServiceFailed("there is neither systemd nor a desktop session here", OWN_INIT)
    return autostart(where)


def _systemd_answers(where: Host) -> bool:
    return tool_for(where, "systemctl", "--user").ask("show", "--property=Version").code == 0


def own_managers(where: Host) -> Iterator[Manager]:
    """Yield every manager that could hold a service of this user, the most likely first."""
    if where.platform == MACOS:
        yield launch_agent(where)
        return
    yield user_manager(where)
    yield autostart(where)


def state_here(where: Host) -> ServiceState:
    """Return the state of this user's service, or of the system's service for the user if they have none."""
    found = states_here(where)
    return next((one for one in found if one.installed or one.files), found[0])


def states_here(where: Host) -> list[ServiceState]:
    """Return the state of every service that could run this user's agent, the most likely first."""
    system = launch_daemon if where.platform == MACOS else system_manager
    return [*(manager.state() for manager in own_managers(where)), system(where, where.user).state()]
