"""The inbox with a thousand conflicts."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest

from support.processes import Home
from support.servers import StrictServer

_TIMES = 5


@pytest.mark.long
def test_a_thousand_conflicts_are_listed_quickly(tmp_path: Path) -> None:
    """A page of the inbox takes less than 200 ms of the agent's processor time, and a merge page as well."""
    with StrictServer.serving() as server:
        home = Home(tmp_path)
        home.login(server)
        paths = [f"d{number % 20}/f{number}.md" for number in range(1000)]
        for path in paths:
            home.write(path, "a\n")
        source = home.link()
        for path in paths:
            server.replace(source, path, "b\n")
            home.write(path, "c\n")
        home.sync(code=3)
        with home.daemon() as daemon, httpx.Client(headers={"accept": "text/html"}, timeout=60) as client:
            origin, code = str(daemon.call("ui")["url"]).split("/login#")
            assert client.post(f"{origin}/login", data={"code": code}).status_code == 303
            process = psutil.Process(daemon.process.pid)
            for address in ("/conflicts", "/conflicts?q=f99&sort=path", "/conflicts/500"):
                assert client.get(f"{origin}{address}").status_code == 200
                before = sum(process.cpu_times()[:2])
                for _ in range(_TIMES):
                    client.get(f"{origin}{address}")
                assert (sum(process.cpu_times()[:2]) - before) / _TIMES < 0.2, address
