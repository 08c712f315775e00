"""A server that answers 500 to everything for a while, and a source that is deleted on the server."""

from __future__ import annotations

import json

from hub.fixtures import headers
from strict_raven.faults import internal_error
from support.eventually import eventually
from support.fixtures import Machines
from support.processes import Daemon, Home
from support.servers import StrictServer, sha

TEXTS = {f"n{number}.md": f"text {number}\n" for number in range(6)}
FOR_EVER = 1_000_000


def _linked(home: Home) -> str:
    for path, text in TEXTS.items():
        home.write(path, text)
    return home.link()


def _edit_page(strict: StrictServer, source: str, path: str, text: str) -> None:
    """Edit a page past every fault, as a person in the web application whose request is not the agent's."""
    body = json.dumps({"sourceId": source, "relativePath": path, "content": text}).encode()
    sent = {name.lower(): value for name, value in headers(strict.token, strict.workspace).items()}
    sent["content-type"] = "application/json"
    assert strict.faulty.unharmed("POST", "/api/local-sync/sources/file/update", sent, body).status == 200


def _edit_both_sides(home: Home, strict: StrictServer, source: str) -> dict[str, str]:
    """Edit, add and delete here, edit on the server; the texts on which both sides will agree."""
    home.write("n0.md", "mine\n")
    home.write("new.md", "new\n")
    (home.folder / "n1.md").unlink()
    _edit_page(strict, source, "n2.md", "theirs\n")
    kept = {path: text for path, text in TEXTS.items() if path != "n1.md"}
    return {**kept, "n0.md": "mine\n", "n2.md": "theirs\n", "new.md": "new\n"}


def _agrees(home: Home, strict: StrictServer, source: str, texts: dict[str, str]) -> bool:
    return home.texts() == texts and strict.hashes(source) == {path: sha(text) for path, text in texts.items()}


def test_500_to_every_call_loses_nothing(strict_home: Home, strict: StrictServer) -> None:
    """FS1: every endpoint fails while both sides are edited. No command says 0, no file is set aside, none is deleted;
    then the daemon goes on by itself.
    """
    source = _linked(strict_home)
    with strict_home.daemon() as daemon:
        strict.faulty.inject(internal_error(), requests=FOR_EVER)
        wanted = _edit_both_sides(strict_home, strict, source)
        eventually(lambda: _names_the_fault(daemon), what="the status names the fault")
        _no_command_says_0(strict_home)
        strict.faulty.clear()
        eventually(lambda: _agrees(strict_home, strict, source, wanted), 90, "both sides agree by themselves")
        assert strict_home.sync(code=0)["skipped"] == []


def test_a_start_during_500_to_every_call_loses_nothing(strict_home: Home, strict: StrictServer) -> None:
    """FS1: the same where the agent was stopped while both sides were edited, and starts inside the outage."""
    source = _linked(strict_home)
    strict.faulty.inject(internal_error(), requests=FOR_EVER)
    wanted = _edit_both_sides(strict_home, strict, source)
    _no_command_says_0(strict_home)
    with strict_home.daemon() as daemon:
        eventually(lambda: _names_the_fault(daemon), what="the status names the fault")
        strict.faulty.clear()
        eventually(lambda: _agrees(strict_home, strict, source, wanted), 90, "both sides agree by themselves")


def _names_the_fault(daemon: Daemon) -> bool:
    status = daemon.call("status")
    return status["sources"][0]["state"] in {"error", "offline"} and "500" in json.dumps(status)


def _no_command_says_0(home: Home) -> None:
    before = home.texts()
    for words in (("sync",), ("history", "n0.md"), ("link", str(home.folder.parent / "other"), "--create", "--yes")):
        ran = home.run(*words)
        assert ran.code not in (0, 2), ran
        assert "Traceback" not in ran.err and "500" in ran.err + ran.out, ran
    assert home.texts() == before
    assert home.json("files", home.folder, "--state", "skipped") == []


def test_a_machine_that_joins_during_500_takes_nothing(machine: Machines, strict: StrictServer) -> None:
    """FS1: signing in and linking end with an error, leave no half link, and pass once the server is well."""
    first, second = machine("first"), machine("second")
    first.login(strict)
    source = _linked(first)
    second.login(strict)
    strict.faulty.inject(internal_error(), requests=FOR_EVER)
    for _ in range(2):
        ran = second.run("link", second.folder, "--source", source, "--yes")
        assert ran.code not in (0, 2) and "500" in ran.err, ran
    assert second.texts() == {} and second.json("status")["sources"] == []
    strict.faulty.clear()
    second.link("--source", source)
    assert second.texts() == TEXTS


def test_a_deleted_source_leaves_every_file(machine: Machines, strict: StrictServer) -> None:
    """FS6: real processes; nothing is deleted on either machine, the remedies are named, and linking anew works."""
    first, second = machine("first"), machine("second")
    first.login(strict)
    source = _linked(first)
    second.login(strict)
    second.link("--source", source)
    first.write("n0.md", "not sent yet\n")
    state = strict.raven.snapshot()
    del state.sources[source]
    strict.raven.restore(state)
    wanted = {**TEXTS, "n0.md": "not sent yet\n"}
    for home, texts in ((first, wanted), (second, TEXTS)):
        ran = home.run("sync")
        assert ran.code not in (0, 2)
        said = " ".join((ran.out + ran.err).split())
        assert "the source was deleted" in said and "raven-agent unlink" in said, ran
        assert home.texts() == texts
    assert first.run("unlink", first.folder, "--yes").code == 0
    again = first.link()
    assert again != source
    assert _agrees(first, strict, again, wanted)
