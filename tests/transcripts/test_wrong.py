"""The guide for ten situations in which something went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from strict_raven import token as strict_token
from support.servers import HubServer, StrictServer
from transcripts.console import Machine
from transcripts.guides import GUIDES, Hosts, hold, login, now, sections, write_token
from transcripts.hub_service import HubService

GUIDE = GUIDES / "when-something-went-wrong.md"
UNREACHABLE, SIGNED_OUT, RESTORED = "The server cannot be reached", "I am signed out", "The server was restored"
TWO_PEOPLE = "Two people changed the same paragraph"
ORDINARY = [name for name in sections(GUIDE.read_text("utf-8")) if name not in (UNREACHABLE, SIGNED_OUT, RESTORED)]
TEXTS = {
    "ideas.md": "# Ideas\n\nOne, and two.\n",
    "plans.md": "# Plans\n",
    "trips/lisbon.md": "# Lisbon\n",
    "trips/oslo.md": "# Oslo\n",
    "trips/rome.md": "# Rome\n",
}


def prepare(machine: Machine) -> None:
    """Link ``~/notes``, with everything sent."""
    for path, text in TEXTS.items():
        file = machine.home / "notes" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    login(machine)
    assert "up to date" in (said := machine.run("raven-agent link ~/notes --yes --wait")), said


def test_the_guide_has_ten_situations() -> None:
    """Each of them is played by one of the tests below."""
    assert len(ORDINARY) == 7
    assert len(sections(GUIDE.read_text("utf-8"))) == 10


@pytest.mark.parametrize("heading", ORDINARY)
def test_a_situation_on_one_hub(heading: str, tmp_path: Path, shared_hub: HubServer) -> None:
    """The commands of the section print what the section shows."""
    hosts = Hosts.of_hub(tmp_path, shared_hub)
    with hosts.machines("ada", *(["bob"] if heading == TWO_PEOPLE else [])) as machines:
        prepare(machines[0])
        for other in machines[1:]:
            login(other)
            other.run("raven-agent link ~/notes --source notes --create --wait")
        # The people of the guide name a moment on the clock before what they did.
        machines[0].servers["14:30"] = now()
        hold(GUIDE, heading, *machines)


def test_the_server_cannot_be_reached(tmp_path: Path, strict: StrictServer) -> None:
    """An edit waits, and is sent when the server answers again."""
    acts = {"systemctl stop raven-hub": strict.down, "systemctl start raven-hub": strict.up}
    with Hosts(tmp_path, strict.url, strict.token, acts=acts).machines("ada") as (ada,):
        prepare(ada)
        hold(GUIDE, UNREACHABLE, ada)


def test_a_new_token_signs_in_again(tmp_path: Path, strict: StrictServer) -> None:
    """The links stay."""
    with Hosts(tmp_path, strict.url, strict.token).machines("ada") as (ada,):
        prepare(ada)
        strict.raven.sign_with("another secret of the strict server")
        write_token(ada, strict_token(secret="another secret of the strict server"))
        hold(GUIDE, SIGNED_OUT, ada)


@pytest.mark.long
def test_a_restored_server_is_noticed(tmp_path: Path) -> None:
    """The texts that the backup lacks are sent again."""
    with HubService(tmp_path / "data") as service:
        words = {"/srv/hub": str(service.data)}
        acts = {"systemctl stop raven-hub": service.stop, "systemctl start raven-hub": service.start}
        hosts = Hosts(tmp_path, service.url, service.token, words, acts)
        with hosts.machines("hub", "ada") as (hub, ada):
            prepare(ada)
            hold(GUIDE, RESTORED, hub, ada)
