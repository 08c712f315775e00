"""OP4: install, reinstall, uninstall; an honest state where nothing can work; nobody's files touched."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from agent.cli.client import daemon_of
from agent.settings.home import Home as AgentHome
from service.conftest import SCRIPT, Person
from service.manager import unit
from support.eventually import eventually
from support.processes import Home
from support.servers import StrictServer


def test_op4_install_and_uninstall_leave_no_trace(person: Person) -> None:
    """Installed it runs; again nothing changes; uninstalled all that was made is gone."""
    drop_in = person.unit.with_name("raven-agent.service.d") / "mine.conf"
    other = person.unit.with_name("other.service")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nNice=5\n")
    other.write_text("[Service]\nExecStart=/bin/true\n")
    person.home.write("a.md", "mine")
    before = person.files()

    first = person.service("install", "--json").document
    assert first["changed"] and first["installed"] and first["running"]
    assert (first["manager"], first["at"], first["files"]) == ("systemd", "login", [str(person.unit)])
    assert first["program"] == str(SCRIPT) and first["problem"] is None
    assert person.home.json("status")["daemon"]["pid"] == first["pid"]
    assert person.said() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable raven-agent.service",
        "systemctl --user start raven-agent.service",
    ]

    again = person.service("install", "--json").document
    assert (again["changed"], again["pid"]) == (False, first["pid"])

    gone = person.service("uninstall", "--json").document
    assert gone["changed"] and not gone["installed"] and gone["removed"] == [str(person.unit)]
    assert person.files() == before
    assert person.home.json("status")["daemon"]["running"] is False
    assert person.home.texts() == {"a.md": "mine"}
    assert person.service("uninstall", "--json").document["changed"] is False
    assert person.said()[-1] == "systemctl --user daemon-reload"


def test_op4_up_then_service_install_still_serves_the_hub(person: Person) -> None:
    """The folder `up` linked to the embedded hub goes on with the service, which hosts that hub."""
    # The service has an environment of its own; without this, hubs of other tests take and leave the default port.
    person.home.json("config", "set", "hub_port", str(person.home.hub_port))
    person.home.write("a.md", "one")
    assert person.home.run("up", person.home.folder, "--once", "--yes").code == 0
    person.service("install")
    eventually(lambda: hub_answers(person.home), 60, "the hub answers")
    person.home.write("b.md", "two")
    eventually(lambda: files_on(person.home) == {"a.md", "b.md"}, 60, "the new file is on the hub")
    person.service("stop")
    assert not hub_answers(person.home)
    person.service("start")
    eventually(lambda: hub_answers(person.home), 60, "the hub is back")


def test_op4_up_in_a_terminal_and_a_service_take_turns(person: Person) -> None:
    """Installed while `up` holds the home, the service waits and says for whom; it takes over when that one ends."""
    with person.home.daemon() as terminal:
        installed = person.service("install", "--json").document
        assert installed["running"] and installed["status"].startswith("waiting:")
        assert str(terminal.process.pid) in installed["status"]
        terminal.stop()
        agent_home = AgentHome.from_environment(person.home.env)
        eventually(lambda: daemon_of(agent_home), 60, "the service has taken over")
        assert person.home.json("status")["daemon"]["pid"] == installed["pid"]


def test_op4_offline_at_login_the_unit_runs_and_says_so(tmp_path: Path) -> None:
    """The server cannot be reached: READY all the same, the words name the server and what waits."""
    with StrictServer.serving() as server:
        home = linked_to(server, tmp_path)
    home.write("b.md", "written offline")
    with unit(home, tmp_path) as running:
        running.wait_for("READY", 10)
        running.wait_for_words("cannot reach raven, 1 to send")
        assert running.process.poll() is None
    assert home.texts() == {"a.md": "one", "b.md": "written offline"}


def test_op4_without_a_token_at_login_the_unit_runs_and_says_so(tmp_path: Path) -> None:
    """No keyring and no token: READY, `signed out`, and after a login it goes on by itself."""
    with StrictServer.serving() as server:
        home = linked_to(server, tmp_path)
        kept = home.path / "credentials.json"
        tokens = kept.read_bytes()
        kept.unlink()
        home.write("b.md", "two")
        with unit(home, tmp_path) as running:
            running.wait_for("READY", 10)
            running.wait_for_words("signed out of raven")
            kept.touch(0o600)
            kept.write_bytes(tokens)
            home.login(server)
            running.wait_for_words("in step: notes (2 files)")
    assert home.texts() == {"a.md": "one", "b.md": "two"}


def linked_to(server: StrictServer, folder: Path) -> Home:
    """A machine whose folder is linked and in step."""
    home = Home(folder)
    home.login(server)
    home.write("a.md", "one")
    home.link("--server", "raven")
    return home


def hub_answers(home: Home) -> bool:
    """Whether the embedded hub answers where the registry has it, without anybody starting one to ask."""
    registry = json.loads((home.path / "registry.json").read_text())
    url = next(server["url"] for server in registry["servers"] if server["name"] == "local")
    try:
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def files_on(home: Home) -> set[str]:
    ran = home.run("files", home.folder, "--json")
    return {row["path"] for row in json.loads(ran.out) if row["state"] == "ok"} if ran.code == 0 else set()
