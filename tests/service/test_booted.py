"""The services under a real systemd, in a booted machine of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.service.model import InstallPlan
from agent.service.unit_files import template
from agent.service.units import unit_text
from service.boot import Booted, booted, missing
from service.conftest import SCRIPT
from support.eventually import eventually, patience

TOP = Path(__file__).parents[2]
HIDDEN = next((f"{place} is empty there" for place in (SCRIPT.resolve(), TOP) if place.is_relative_to("/tmp")), None)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.skipif(HIDDEN is not None, reason=str(HIDDEN)),
]
UNIT = "raven-agent.service"
OWN = ("systemctl", "--user")
AGENT = str(SCRIPT.resolve())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    """A machine with ada, for whom this program is as good as installed."""
    with booted(tmp_path) as found:
        for place in (SCRIPT.resolve(), Path(sys.executable).resolve(), TOP / "agent"):
            # In the overlay only: whoever may not enter the real folders may not there either.
            found.run("chmod", "o+rx", *(str(folder) for folder in place.parents if folder != Path("/")))
        found.add_person("ada")
        yield found


def shown(machine: Booted, *names: str) -> dict[str, str]:
    """Properties of ada's unit."""
    lines = machine.run_as("ada", *OWN, "show", f"--property={','.join(names)}", UNIT).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def words(machine: Booted) -> str:
    """What ada's unit says of itself."""
    return shown(machine, "StatusText")["StatusText"]


def test_op4_a_users_own_systemd_runs_the_agent_and_forgets_it(machine: Booted) -> None:
    """Install, sync, reload, stop within 10 s, uninstall: as ada, without root; her note and her drop-in stay."""
    drop_in = "/home/ada/.config/systemd/user/raven-agent.service.d/mine.conf"
    machine.run_as("ada", "mkdir", "-p", str(Path(drop_in).parent), "/home/ada/notes")
    machine.run_as("ada", "sh", "-c", f"printf '[Service]\\nNice=5\\n' > {drop_in}; echo mine > ~/notes/a.md")
    installed = json.loads(machine.run_as("ada", AGENT, "service", "install", "--json").stdout)
    assert installed["running"] and installed["status"].startswith("no folder is linked")
    again = json.loads(machine.run_as("ada", AGENT, "service", "install", "--json").stdout)
    assert (again["changed"], again["pid"]) == (False, installed["pid"])

    machine.run_as("ada", AGENT, "link", "/home/ada/notes", "--server", "local", "--yes", "--wait")
    eventually(lambda: words(machine) == "in step: notes (1 file)", 20, "the status says so")
    machine.run_as("ada", *OWN, "reload", UNIT)
    eventually(lambda: shown(machine, "ActiveState")["ActiveState"] == "active", 20, "the reload is over")
    said = machine.run("journalctl", "-o", "json", f"_PID={installed['pid']}", "PRIORITY=6").stdout.splitlines()
    texts = [json.loads(line)["MESSAGE"] for line in said]
    assert any("reload" in text for text in texts) and not any(text.startswith("20") for text in texts)

    began = time.monotonic()
    machine.run_as("ada", AGENT, "service", "stop")
    assert time.monotonic() - began < patience(10)
    assert shown(machine, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    machine.run_as("ada", AGENT, "service", "uninstall")
    left = machine.run_as("ada", "find", "/home/ada/.config/systemd", "-not", "-type", "d").stdout.split()
    assert left == [drop_in]
    assert machine.run_as("ada", "cat", "/home/ada/notes/a.md").stdout == "mine\n"


def test_a_hung_agent_is_ended_by_the_watchdog_and_started_again(machine: Booted) -> None:
    """Stopped dead, it shows no sign of life: systemd kills it, and a new one serves the same home."""
    folder = "/home/ada/.config/systemd/user/raven-agent.service.d"
    machine.run_as("ada", "mkdir", "-p", folder)
    machine.run_as("ada", "sh", "-c", f"printf '[Service]\\nWatchdogSec=2\\nRestartSec=0\\n' > {folder}/quick.conf")
    machine.run_as("ada", AGENT, "service", "install")
    pid = shown(machine, "MainPID")["MainPID"]
    machine.run("kill", "-STOP", pid)
    eventually(lambda: shown(machine, "NRestarts")["NRestarts"] == "1", 30, "the watchdog bites")
    eventually(lambda: shown(machine, "ActiveState")["ActiveState"] == "active", 30, "a new agent is ready")
    assert shown(machine, "MainPID")["MainPID"] not in (pid, "0")


def test_a_users_own_unit_is_handed_a_credential(machine: Booted) -> None:
    """A drop-in with LoadCredential= gives ada's unit a token file that only she can read."""
    folder = "/home/ada/.config/systemd/user/raven-agent.service.d"
    machine.run_as("ada", "mkdir", "-p", folder)
    machine.run_as(
        "ada", "sh", "-c", "mkdir -p ~/.config/raven-agent; umask 077; echo abc > ~/.config/raven-agent/token"
    )
    line = "LoadCredential=raven-token:%%h/.config/raven-agent/token"
    machine.run_as("ada", "sh", "-c", f"printf '[Service]\\n{line}\\n' > {folder}/token.conf")
    pid = json.loads(machine.run_as("ada", AGENT, "service", "install", "--json").stdout)["pid"]
    variables = machine.run("cat", f"/proc/{pid}/environ").stdout.split("\0")
    handed = next(line for line in variables if line.startswith("CREDENTIALS_DIRECTORY=")).partition("=")[2]
    assert machine.run_as("ada", "cat", f"{handed}/raven-token").stdout == "abc\n"


def test_a_packaged_hub_serves_a_user_of_the_machine(machine: Booted) -> None:
    """`raven-hub.service` as it ships, and an agent of the system for ada with her token from the credential store."""
    plan = InstallPlan(Path(AGENT), single_file=False, variables={})
    hub = template("raven-hub.service").replace("/usr/bin/raven-agent", AGENT)
    machine.run("useradd", "--system", "--home-dir", "/var/lib/raven-hub", "raven-hub")
    if Path(sys.executable).resolve().is_relative_to("/root"):
        # The interpreter of whoever runs this is at home; nobody packages one like that.
        hub = hub.replace("ProtectHome=yes", "ProtectHome=read-only")
    machine.run("tee", "/etc/systemd/system/raven-hub.service", stdin=hub)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "raven-hub")
    url = machine.show("raven-hub", "StatusText")["StatusText"].removeprefix("serving ")

    as_hub = ("setpriv", "--reuid=raven-hub", "--regid=raven-hub", "--clear-groups", "env", "HOME=/var/lib/raven-hub")
    mint = (AGENT, "hub", "token", "--workspace", "team", "--user", "ada", "--data", "/var/lib/raven-hub")
    token = machine.run(*as_hub, *mint).stdout.strip()
    machine.run("mkdir", "-p", "/etc/credstore")
    machine.run("sh", "-c", "umask 077; cat > /etc/credstore/raven-token.ada", stdin=token)
    machine.run_as("ada", "sh", "-c", "mkdir ~/notes; echo one > ~/notes/a.md")
    login = f"{AGENT} login {url} --workspace team --name hub --token-stdin && {AGENT} link ~/notes --server hub --yes"
    machine.run_as("ada", "sh", "-c", f"echo {token} | ({login})")
    machine.run_as("ada", "sh", "-c", "rm -f ~/.local/state/raven-agent/credentials.json")

    done = json.loads(machine.run(AGENT, "service", "install", "--at", "boot", "--as", "ada", "--json").stdout)
    assert done["running"] and done["files"] == ["/etc/systemd/system/raven-agent@ada.service"]
    unit = "raven-agent@ada.service"
    assert machine.run("cat", done["files"][0]).stdout == unit_text(template("raven-agent@.service"), plan)
    eventually(lambda: "in step" in machine.show(unit, "StatusText")["StatusText"], 30, "ada's folder is in step")
    shared = machine.run_as("ada", AGENT, "status", "--json").stdout
    assert json.loads(shared)["sources"][0]["state"] == "up_to_date"

    machine.run(AGENT, "service", "uninstall", "--as", "ada")
    assert machine.run("ls", "/etc/systemd/system/multi-user.target.wants", check=False).stdout.count("raven") == 0
    machine.run("systemctl", "stop", "raven-hub")
    assert machine.show("raven-hub", "Result")["Result"] == "success"
