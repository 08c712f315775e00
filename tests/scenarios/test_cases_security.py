"""Security (SC): the token stays where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

from scenarios.conftest import Machines
from strict_raven import Response
from strict_raven.faults import Fault, Strikes
from support.processes import COMMAND, Home
from support.servers import StrictServer
from support.wait_idle import settle


def test_sc8_the_token_is_in_no_log_status_or_bundle(strict_home: Home, strict: StrictServer) -> None:
    """Nor in a process's arguments; the home and what is in it are the owner's alone."""
    strict_home.command = COMMAND  # its arguments are looked at
    strict_home.write("a.md", "a\n")
    strict_home.extra = {"RAVEN_AGENT_LOG": "debug"}
    strict_home.link()

    def refuse(_: Response | None) -> Response:
        return Response(401, {"content-type": "application/json"}, json.dumps({"message": strict.token}).encode())

    with strict_home.daemon() as daemon:
        settle([daemon])
        arguments = Path(f"/proc/{daemon.process.pid}/cmdline")
        assert not arguments.exists() or strict.token.encode() not in arguments.read_bytes()
        strict.faulty.inject(Fault("echo", Strikes.BEFORE, refuse), requests=3)
        strict_home.run("sync")
        shown = strict_home.run("status", "--json").out
    strict.faulty.clear()
    bundle = strict_home.folder.parent / "bundle.zip"
    strict_home.run("doctor", "--bundle", bundle)
    assert strict.token not in shown
    for file in strict_home.path.rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
        if file.is_file() and file.name != "credentials.json":
            assert strict.token.encode() not in file.read_bytes(), file
    assert strict.token.encode() not in bundle.read_bytes()


def test_fh2_patterns_for_private_files_need_a_yes(machine: Machines, strict: StrictServer) -> None:
    """FH2: a source whose patterns are `.*` and `**` is joined only after a yes; plans and `sources` show them."""
    one, two = machine("one"), machine("two")
    one.login(strict)
    two.login(strict)
    one.write("a.md", "a\n")
    source = one.link("--include", ".*", "--include", "**")
    one.write(".bashrc", "from the other machine\n")
    one.run("sync")
    two.write(".env", "SECRET=1\n")
    (shown,) = two.json("sources")
    assert shown["include"] == [".*", "**"]
    assert ".*" in two.run("sources").out
    planned = two.json("link", two.folder, "--source", source, "--dry-run")
    assert planned["private"] == [".*"] and planned["include"] == [".*", "**"]
    assert ".*" in two.run("link", two.folder, "--source", source, "--dry-run").out
    refused = two.run("link", two.folder, "--source", source)
    assert refused.code == 2 and "--yes" in refused.err
    two.run("sync")
    assert two.files() == {".env": b"SECRET=1\n"}
    assert two.run("link", two.folder, "--source", source, "--yes", "--wait").code == 0
    assert two.files() == {".env": b"SECRET=1\n", ".bashrc": b"from the other machine\n", "a.md": b"a\n"}


def test_friction_3_rules_refuse_patterns_that_select_nothing(home: Home) -> None:
    """An empty, negated or malformed pattern is refused with the reason, and nothing changes."""
    home.link()
    for pattern in ("", "!a.md", "[a"):
        refused = home.run("rules", home.folder, "--include", pattern)
        assert refused.code == 2 and "is refused" in refused.err
    assert home.json("rules", home.folder)["include"] == []
