"""Which service manager is chosen, what it is told, and what it never touches."""

from __future__ import annotations

import dataclasses
import os
import plistlib
from pathlib import Path
from typing import Any

import pytest

from agent.cli.commands.service import status_document
from agent.core.errors import AgentError, UsageError
from agent.service.autostart import Autostart, has_desktop
from agent.service.detect import (
    INSTALL,
    OWN_INIT,
    InstallRequest,
    background_here,
    fitting,
    in_background,
    state_here,
)
from agent.service.errors import NotInstalled, ServiceFailed
from agent.service.launchd import Launchd, launch_daemon
from agent.service.model import Host, InstallPlan, Linger, StartAt
from agent.service.systemd import Systemd, user_manager
from agent.service.unit_files import UnitFileOwner, look, signed, template
from agent.settings.home import Home as AgentHome
from service import fake_managers
from service.conftest import SCRIPT, Person

LOGIN = InstallRequest(StartAt.LOGIN, None, Linger.AS_IT_IS)
BOOT = InstallRequest(StartAt.BOOT, None, Linger.AS_IT_IS)

# What launchd.plist(5) documents, with the type of each value, as far as these lists use it or may come to.
DOCUMENTED: dict[str, type | tuple[type, ...]] = {
    "Label": str,
    "Disabled": bool,
    "UserName": str,
    "GroupName": str,
    "Program": str,
    "ProgramArguments": list,
    "EnableGlobbing": bool,
    "KeepAlive": (bool, dict),
    "RunAtLoad": bool,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "Umask": (int, str),
    "TimeOut": int,
    "ExitTimeOut": int,
    "ThrottleInterval": int,
    "InitGroups": bool,
    "WatchPaths": list,
    "StartInterval": int,
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "Debug": bool,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "Nice": int,
    "ProcessType": str,
    "AbandonProcessGroup": bool,
    "LowPriorityIO": bool,
    "LowPriorityBackgroundIO": bool,
    "LimitLoadToSessionType": (str, list),
}
KEEP_ALIVE = {"SuccessfulExit": bool, "Crashed": bool, "PathState": dict, "OtherJobEnabled": dict}
PROCESS_TYPES = {"Background", "Standard", "Adaptive", "Interactive"}


def surroundings(person: Person, **changes: Any) -> Host:
    """The person's computer, seen from inside this process."""
    env = {**person.home.env}
    found = Host(AgentHome.from_environment(env), env, "linux", 1000, "ada", person.person, person.person / "top")
    return dataclasses.replace(found, **changes)


def plan(person: Person, **changes: Any) -> InstallPlan:
    made = InstallPlan(SCRIPT, single_file=False, variables={"RAVEN_AGENT_HOME": str(person.home.path)})
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize("name", ["ai.raven-local-sync.agent.plist", "ai.raven-local-sync.daemon.plist"])
def test_a_property_list_has_documented_keys_and_types(name: str) -> None:
    """launchd ignores what it does not know without a word, so every key is looked up here."""
    document = plistlib.loads(template(name).encode())
    for key, value in document.items():
        assert key in DOCUMENTED and isinstance(value, DOCUMENTED[key]), key
    assert all(isinstance(document["KeepAlive"][key], KEEP_ALIVE[key]) for key in document["KeepAlive"])
    assert document["KeepAlive"] == {"SuccessfulExit": False} and document["ThrottleInterval"] >= 10
    assert document["ProcessType"] in PROCESS_TYPES and document["RunAtLoad"] is True
    assert ("UserName" in document) == ("daemon" in name)


def test_a_login_agent_of_launchd_lives_and_goes(person: Person) -> None:
    """Install, again, stop, start, uninstall: launchctl knows every word, and at the end nothing is left."""
    where = surroundings(person, platform="darwin", uid=os.getuid())
    manager, _ = fitting(dataclasses.replace(where, env={**where.env, "SUDO_USER": "root"}), LOGIN)
    assert isinstance(manager, Launchd)
    where.home.create()
    assert manager.install(plan(person)).changed
    document = plistlib.loads(manager.file.read_bytes())
    assert document["ProgramArguments"] == [str(SCRIPT), "run", "-q"]
    assert document["EnvironmentVariables"] == {"RAVEN_AGENT_HOME": str(person.home.path)}
    assert document["StandardErrorPath"] == str(where.home.log_dir / "service.log")
    assert (manager.state().running, manager.state().problem) == (True, None)
    assert not manager.install(plan(person)).changed
    assert manager.stop().changed and not manager.stop().changed
    assert (manager.state().installed, manager.state().running) == (True, False)
    assert manager.start().changed and not manager.start().changed
    assert manager.install(plan(person, variables={"RAVEN_AGENT_HOME": str(person.home.path), "A": "b"})).changed
    assert manager.state().running
    assert manager.uninstall().changed and not manager.file.exists()
    assert (manager.state().installed, manager.state().running) == (False, False)
    words = [line.split()[1] for line in person.said()]
    assert words == ["enable", "bootstrap", "kill", "kickstart", "bootout", "enable", "bootstrap", "bootout"]


def test_a_daemon_of_launchd_is_its_users(person: Person) -> None:
    """The label has the user's name in it, so that several have one each, and the process is theirs."""
    manager = launch_daemon(surroundings(person, platform="darwin", uid=0), "ada")
    document = plistlib.loads(manager.text(plan(person)).encode())
    assert (document["Label"], document["UserName"]) == ("ai.raven-local-sync.daemon.ada", "ada")
    assert manager.file.name == "ai.raven-local-sync.daemon.ada.plist"
    assert manager.domain == "system"


def test_a_foreign_unit_file_stops_the_install_and_survives(person: Person) -> None:
    """A unit of their own under our name, and one of ours that was edited: refused, and left byte for byte."""
    person.unit.parent.mkdir(parents=True)
    person.unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert person.service("install", "--json", code=1).error["code"] == "refused"
    assert person.unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    person.unit.unlink()
    person.service("install")
    edited = person.unit.read_text().replace("RestartSec=15", "RestartSec=20")
    person.unit.write_text(edited)
    assert person.service("install", "--json", code=1).error["code"] == "refused"
    gone = person.service("uninstall", "--json").document
    assert person.unit.read_text() == edited and not gone["running"]
    assert any("is kept" in note for note in gone["notes"])


def test_a_change_of_the_unit_restarts_the_agent(person: Person) -> None:
    """Installed for another home, the unit is written anew, loaded anew, and the agent started anew."""
    first = person.service("install", "--json").document
    person.home.extra["XDG_STATE_HOME"] = str(person.person / "state")
    second = person.service("install", "--json").document
    assert second["changed"] and second["pid"] not in (None, first["pid"])
    assert person.said()[-2:] == [
        "systemctl --user daemon-reload",
        "systemctl --user restart raven-agent.service",
    ]


def test_lingering_is_ended_only_where_the_install_enabled_it(person: Person) -> None:
    """--linger, then uninstall: both are said to loginctl. Where it was on before, neither is."""
    person.service("install", "--linger")
    assert person.service("status", "--json").document["at"] == "boot"
    person.service("uninstall")
    assert [line.split()[1] for line in person.said() if line.startswith("loginctl")] == [
        "enable-linger",
        "disable-linger",
    ]
    fake_managers.Loginctl(person.played).keep(linger=True)
    person.service("install", "--linger")
    person.service("uninstall")
    assert len([line for line in person.said() if line.startswith("loginctl")]) == 2


def test_status_exits_as_it_stands(person: Person) -> None:
    """7 where nothing runs, 0 where it does, 1 where it runs and its program is gone."""
    assert person.service("status", "--json", code=7).document["installed"] is False
    person.service("install")
    assert person.service("status", "--json").document["status"].startswith("no folder is linked")
    person.service("stop")
    stopped = person.service("status", "--json", code=7).document
    assert stopped["installed"] and stopped["remedy"] == "raven-agent service start"
    assert person.service("start", "--json").document["changed"] is True
    person.service("uninstall")
    assert person.service("start", "--json", code=1).error["code"] == "not_installed"


def test_a_unit_whose_program_is_gone_is_a_problem_with_a_remedy(person: Person) -> None:
    """After an environment was removed: status names the path; installing again is the remedy."""
    manager = user_manager(surroundings(person))
    manager.file.parent.mkdir(parents=True)
    gone = InstallPlan(Path("/opt/gone/raven-agent"), single_file=False, variables={})
    manager._write(gone)
    manager.systemctl.do("daemon-reload")
    state = state_here(surroundings(person))
    assert state.problem is not None and "/opt/gone/raven-agent" in state.problem
    assert state.remedy == "raven-agent service install"


def test_a_unit_a_package_brought_is_used_as_it_is(person: Person) -> None:
    """It starts this very program: nothing is written, and one we wrote before, which would shadow it, is removed."""
    where = surroundings(person)
    manager = user_manager(where)
    manager.packaged.parent.mkdir(parents=True)
    assert manager._write(plan(person, variables={})) and manager.file.exists()
    manager.packaged.write_text(template("raven-agent.service").replace("/usr/bin/raven-agent", str(SCRIPT)))
    assert manager._write(plan(person, variables={})) and not manager.file.exists()
    assert not manager._write(plan(person, variables={}))
    assert manager._write(plan(person)) and manager.file.exists()


@pytest.mark.parametrize(
    ("changes", "wish", "error", "words"),
    [
        ({"uid": 0, "env": {"SUDO_USER": "ada"}}, LOGIN, UsageError, "root's own"),
        ({"uid": 0}, BOOT, UsageError, "whose agent"),
        ({}, InstallRequest(StartAt.BOOT, "root", Linger.AS_IT_IS), UsageError, "only root"),
        ({"uid": 0}, InstallRequest(StartAt.BOOT, "no-such-user", Linger.AS_IT_IS), UsageError, "no user"),
        ({"uid": 0}, InstallRequest(StartAt.BOOT, "root", Linger.AS_IT_IS), ServiceFailed, "not booted with systemd"),
        ({"platform": "darwin"}, BOOT, UsageError, "at login"),
        ({"platform": "darwin"}, InstallRequest(StartAt.LOGIN, None, Linger.ON), UsageError, "lingering"),
        ({}, LOGIN, ServiceFailed, "neither systemd nor a desktop"),
        ({}, BOOT, ServiceFailed, "only systemd"),
    ],
)
def test_what_cannot_be_is_refused_with_the_next_step(
    person: Person, changes: dict[str, Any], wish: InstallRequest, error: type[AgentError], words: str
) -> None:
    """Without systemd, without a desktop, without root or a name: one sentence and a hint, and nothing is written."""
    where = surroundings(person, **changes)
    where = dataclasses.replace(where, env={"PATH": "/nowhere", **changes.get("env", {})})
    with pytest.raises(error, match=words) as caught:
        fitting(where, wish)
    assert caught.value.hint


def test_the_choice_follows_what_answers(person: Person) -> None:
    """systemd where one's own answers, lingering for `--at boot`; the desktop's autostart where there is only that."""
    manager, linger = fitting(surroundings(person), BOOT)
    assert isinstance(manager, Systemd) and linger is Linger.ON
    manager, linger = fitting(surroundings(person), LOGIN)
    assert isinstance(manager, Systemd) and linger is Linger.AS_IT_IS
    manager, _ = fitting(surroundings(person, env={"PATH": "/nowhere", "XDG_CURRENT_DESKTOP": "XFCE"}), LOGIN)
    assert isinstance(manager, Autostart)
    booted = surroundings(person, env={"PATH": "/nowhere"})
    (booted.top / "run/systemd/system").mkdir(parents=True)
    with pytest.raises(ServiceFailed, match="systemd does not answer"):
        fitting(booted, LOGIN)


def test_an_autostart_entry_starts_and_is_gone_after_uninstall(person: Person) -> None:
    """The entry's words are quoted as the specification has it; the agent runs, stops, and nothing is left."""
    where = surroundings(person, env={**person.home.env, "PATH": "/nowhere"}, user="ada")
    manager = Autostart(where, person.person / ".config/autostart/raven-agent.desktop")
    awkward = plan(person, variables={"RAVEN_AGENT_HOME": '/srv/100% "a" $b \\c'})
    with pytest.raises(NotInstalled):
        manager.start()
    assert manager.install(awkward).changed
    assert (
        f'Exec=env "RAVEN_AGENT_HOME=/srv/100%% \\\\"a\\\\" \\\\$b \\\\\\\\c" {SCRIPT} run -q\n'
        in manager.file.read_text()
    )
    assert not manager.install(awkward).changed
    state = manager.state()
    assert (state.running, state.program, state.problem) == (True, SCRIPT, None)
    assert manager.stop().changed and not manager.state().running
    assert manager.start().changed
    assert manager.uninstall().changed and not manager.file.exists()
    assert not manager.uninstall().changed


def test_a_signature_covers_every_byte_before_it(tmp_path: Path) -> None:
    """One changed character, a lost signature, a link: not ours any more."""
    file = tmp_path / "unit"
    assert look(file) is UnitFileOwner.NOTHING
    file.write_text(signed("[Unit]\nA=b\n"))
    assert look(file) is UnitFileOwner.OURS
    file.write_text(signed("[Unit]\nA=b\n").replace("A=b", "A=c"))
    assert look(file) is UnitFileOwner.FOREIGN
    file.write_text("[Unit]\nA=b\n")
    assert look(file) is UnitFileOwner.FOREIGN
    (tmp_path / "real").write_text(signed("x\n"))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert look(tmp_path / "link") is UnitFileOwner.FOREIGN
    file.write_bytes(b"\xff\xfe")
    assert look(file) is UnitFileOwner.FOREIGN


def test_the_step_to_the_background_is_one_that_works(person: Person) -> None:
    """The install where it will do; else the hint of its refusal, which names no install that is refused as well."""
    assert in_background(surroundings(person)) == INSTALL
    bare = surroundings(person, env={"PATH": "/nowhere"})
    assert in_background(bare) == OWN_INIT
    assert in_background(dataclasses.replace(bare, platform="darwin")) == INSTALL
    assert in_background(dataclasses.replace(bare, env={**bare.env, "XDG_CURRENT_DESKTOP": "XFCE"})) == INSTALL
    (bare.top / "run/systemd/system").mkdir(parents=True)
    assert "--at boot --as USER" in in_background(bare)


def test_the_state_names_a_manager_only_where_there_is_one(person: Person) -> None:
    """Where nothing can start the agent, ``manager`` is null, and the remedy is what the words say."""
    bare = surroundings(person, env={"PATH": "/nowhere"})
    desktop = dataclasses.replace(bare, env={**bare.env, "XDG_CURRENT_DESKTOP": "XFCE"})
    kinds = [background_here(where)[0] for where in (surroundings(person), desktop, bare)]
    assert kinds == ["systemd", "autostart", None]
    here = {"installed": False, "running": False, "manager": "systemd", "problem": None, "remedy": None}
    assert status_document(here, *background_here(bare)) == {**here, "manager": None, "remedy": OWN_INIT}
    stopped = {**here, "installed": True}
    assert status_document(stopped, "systemd", INSTALL) == {**stopped, "remedy": "raven-agent service start"}
    runs = {**stopped, "running": True}
    assert status_document(runs, "systemd", INSTALL) == runs


def test_asking_for_the_state_raises_nothing_and_changes_nothing(person: Person) -> None:
    """Without any manager's command: not installed, on Linux and on macOS, and no file is made."""
    before = person.files()
    for platform in ("linux", "darwin"):
        state = state_here(surroundings(person, platform=platform, env={"PATH": "/nowhere"}))
        assert (state.installed, state.running, state.problem) == (False, False, None)
    assert person.files() == before


def test_friction_35_a_server_without_a_desktop_gets_no_entry(person: Person) -> None:
    """Leftover autostart entries prove no desktop; an installed session does."""
    where = surroundings(person, env={"PATH": "/nowhere"})
    (where.top / "etc/xdg/autostart").mkdir(parents=True)
    sessions = where.top / "usr/share/xsessions"
    sessions.mkdir(parents=True)
    assert not has_desktop(where)
    (sessions / "xfce.desktop").write_text("[Desktop Entry]\n")
    assert has_desktop(where)
    sessions.joinpath("xfce.desktop").unlink()
    assert has_desktop(surroundings(person, env={"XDG_CURRENT_DESKTOP": "GNOME"}))
