"""Two embedded hubs on one machine: each home has its own, on a port of its own."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from support.processes import Daemon, Home


def _port(daemon: Daemon) -> int:
    return urlsplit(str(daemon.call("ensure_local_hub")["url"])).port or 0


def _up(home: Home, *more: str) -> str:
    """Sync the folder once to the embedded hub; everything that was said."""
    ran = home.run("up", home.folder, "--once", "--yes", *more)
    assert ran.code == 0, ran
    return ran.out + ran.err


def test_two_homes_that_want_one_port_have_two_hubs(tmp_path: Path) -> None:
    """FP4: the second hub takes another port, says which, and none answers for the other."""
    one, other = Home(tmp_path, "one"), Home(tmp_path, "other")
    other.hub_port = one.hub_port
    one.write("a.md", "one\n")
    other.write("b.md", "other\n")
    assert f"by the hub at http://127.0.0.1:{one.hub_port} " in _up(one)
    with one.daemon() as first:
        assert _port(first) == one.hub_port
        said = re.search(r"by the hub at http://127\.0\.0\.1:(\d+) ", _up(other))
        assert said is not None
        with other.daemon() as second:
            taken = _port(second)
            assert int(said[1]) == taken != one.hub_port
            for home, daemon, name in ((one, first, "a.md"), (other, second, "b.md")):
                assert [row["path"] for row in home.json("files", home.folder)] == [name]
                assert daemon.source()["state"] in {"up_to_date", "syncing"}


def test_up_names_the_port_it_took_instead(tmp_path: Path) -> None:
    """FP4: a port that was asked for and is in use is named, with the one taken instead."""
    home = Home(tmp_path)
    home.write("a.md", "one\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        said = _up(home, "--port", str(wanted))
    found = re.search(rf"port {wanted} is in use .*; the hub listens on (\d+)", said)
    assert found is not None, said
    assert f"by the hub at http://127.0.0.1:{found[1]} " in said


def test_homes_of_tests_share_no_port(tmp_path: Path) -> None:
    """FP4: each home of a test prefers a port of its own, and never the one that a person's hub has."""
    ports = [Home(tmp_path, f"home-{number}").hub_port for number in range(50)]
    assert len(set(ports)) == 50 and 8674 not in ports
