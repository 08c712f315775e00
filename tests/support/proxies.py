"""A private nginx and a private PgBouncer, started as a test's own processes. Their absence fails the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.eventually import eventually, patience
from support.postgres import PostgresServer

SBIN = "/usr/sbin:/usr/local/sbin:/sbin"


def program(name: str) -> str:
    """The path of a server program, which Debian may keep off the path of users."""
    found = shutil.which(name) or shutil.which(name, path=SBIN)
    assert found is not None, f"{name} is not installed: apt-get install {name}"
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Return True if a connection to a local port is accepted."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, user: str | None = None) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, user=user) as process:
        try:
            eventually(lambda: process.poll() is not None or accepts(port), 20, f"{command[0]} listens")
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield
        finally:
            process.terminate()
            process.wait(patience(10))


@contextlib.contextmanager
def nginx(server_block: str) -> Iterator[None]:
    """An nginx with a configuration inside its `http` block. `PORT` listens somewhere in it.

    Args:
        server_block: with the address `127.0.0.1:N` in its first `listen`.
    """
    port = int(server_block.partition("listen 127.0.0.1:")[2].split(";")[0].split()[0])
    with tempfile.TemporaryDirectory(prefix="nginx") as folder:
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in names)
        # Its workers store large bodies in the folder, which is our own.
        user = "user root;\n" if os.geteuid() == 0 else ""
        Path(folder, "nginx.conf").write_text(
            f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"worker_processes 1;\nevents {{ worker_connections 512; }}\n"
            f"http {{\naccess_log off;\n{temporary}\n{server_block}\n}}\n"
        )
        with _running([program("nginx"), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"], port):
            yield


@contextlib.contextmanager
def pgbouncer(server: PostgresServer, pool: int = 8) -> Iterator[str]:
    """The URL of the server's database through a PgBouncer in transaction mode with so many connections."""
    port = free_port()
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pgb") as folder:
        Path(folder, "users").write_text('"hub" ""\n')
        Path(folder, "ini").write_text(
            f"[databases]\npostgres = host={server.folder} dbname=postgres user=hub\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = {pool}\n"
            f"max_client_conn = 200\nlogfile = {folder}/log\n"
        )
        if user is not None:
            for path in (Path(folder), *Path(folder).iterdir()):
                shutil.chown(path, user)
        with _running([program("pgbouncer"), f"{folder}/ini"], port, user):
            yield f"postgresql+psycopg://hub@127.0.0.1:{port}/postgres?prepare_threshold=none"
