"""``stop``: the end of an agent that no service manager keeps."""

from __future__ import annotations

import os

import pytest

from agent.runtime.home_lock import HomeLock
from agent.service.model import ManagerKind, ServiceState, StartAt, daemon_label, system_unit
from agent.service.running_agent import Starter, leaders_of, silent_holder, starter_of
from agent.settings.home import Home as AgentHome
from service.conftest import Person

PID = 812


def service(kind: ManagerKind = ManagerKind.SYSTEMD, name: str = "raven-agent.service", **more: object) -> ServiceState:
    """A service that runs the agent of the tests."""
    return ServiceState(**{"kind": kind, "at": StartAt.LOGIN, "user": "ada", "name": name, "running": True, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "leaders", "starter"),
    [
        ([], {PID}, Starter.PERSON),
        ([service(pid=PID)], {PID}, Starter.SERVICE),
        ([service(pid=PID, running=False)], {PID}, Starter.PERSON),
        ([service(pid=4)], {PID}, Starter.PERSON),
        ([service(pid=4)], {PID, 4}, Starter.SERVICE),
        ([service(pid=None)], {PID}, Starter.SERVICE),
        ([service(pid=4), service(ManagerKind.LAUNCHD, pid=PID)], {PID}, Starter.SERVICE),
        ([service(ManagerKind.AUTOSTART, pid=PID)], {PID}, Starter.AUTOSTART),
    ],
)
def test_a_service_is_known_by_its_process(states: list[ServiceState], leaders: set[int], starter: Starter) -> None:
    """The process itself, or the leader of its session, is the service's; a service of another home is not."""
    assert starter_of(leaders, states)[0] is starter


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("raven-agent.service", "raven-agent service stop"),
        (system_unit("ada"), "sudo raven-agent service stop --as ada"),
        (daemon_label("ada"), "sudo raven-agent service stop --as ada"),
    ],
)
def test_the_command_that_stops_a_service_fits_it(name: str, typed: str) -> None:
    """The system's service for a user takes root and the user's name."""
    assert service(name=name).stop_command == typed


def test_stop_ends_a_background_agent(person: Person) -> None:
    """A second `run` names `stop`; `stop` ends the first, and the same again changes nothing."""
    home = person.home
    with home.daemon() as daemon:
        second = home.run("run")
        assert second.code == 7 and "end that one first: raven-agent stop" in second.err
        ended = home.json("stop")
        assert ended == {"changed": True, "pid": daemon.process.pid, "notes": []}
        assert silent_holder(AgentHome.from_environment(home.env)) is None
        assert daemon.process.wait(10) == 0
    assert home.json("stop") == {"changed": False, "pid": None, "notes": []}


def test_stop_of_a_service_names_its_own_command(person: Person) -> None:
    """Its manager would not know that the end was wanted."""
    person.service("install")
    refused = person.home.run("stop")
    assert refused.code == 2
    assert "is the service raven-agent.service" in refused.err and "raven-agent service stop" in refused.err
    assert person.service("status").code == 0


def test_stop_is_no_success_while_the_home_is_held(person: Person) -> None:
    """A process that holds the home without an answer is named; 0 would say that nothing runs."""
    home = AgentHome.from_environment(person.home.env)
    home.create()
    lock = HomeLock(home.lock_file)
    try:
        ran = person.home.run("stop")
    finally:
        lock.release()
    assert ran.code == 7 and f"process {os.getpid()} holds this home" in ran.err
    assert silent_holder(home) is None


def test_leaders_of_a_process_hold_itself() -> None:
    """A process that has ended meanwhile has no group to ask for."""
    assert os.getpid() in leaders_of(os.getpid())
    assert leaders_of(2**22 + 1) == {2**22 + 1}
