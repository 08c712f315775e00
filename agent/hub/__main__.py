"""The hub as a child process: `python -P -m agent.hub --data DIR`.

It prints one JSON line on stdout when it is ready, or, to a parent, one with the error that prevents it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from agent.process.imports import quick_imports

with quick_imports():
    from agent.hub.auth import DEFAULT_DAYS, SecretError, hub_secret, mint
    from agent.hub.domain.ids import system_clock
    from agent.hub.pinakes.hashes import ALGORITHMS, SHA256
    from agent.hub.raven.endpoints import BODY_LIMIT
    from agent.hub.serve import DEFAULT_HOST, HubReady, HubSettings, ServeError, serve
    from agent.hub.store.sql_store import StoreError


def main(arguments: list[str] | None = None) -> int:
    """Run the hub, or mint a token. Return 0, or 1 with a sentence on stderr on failure."""
    parser = argparse.ArgumentParser(prog="agent.hub", description="The embedded document server.")
    parser.add_argument("--data", type=Path, required=True, help="the hub's folder")
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, help="0: any free one; by default 8674 or the remembered one")
    parser.add_argument("--database", help="a database URL instead of a file in the folder")
    parser.add_argument("--secret-file", type=Path, help="the signing secret, if it is not in the folder")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--behind-proxy", action="store_true")
    parser.add_argument("--public-key", type=Path, help="check tokens with this PEM instead of the hub's secret")
    parser.add_argument("--body-limit", type=int, default=BODY_LIMIT)
    parser.add_argument("--door", metavar="HOST:PORT", help="a second address, for other machines, with TLS")
    parser.add_argument("--name", default="", help="name of this machine for those that join; by default its host name")
    parser.add_argument("--pinakes-hash", choices=ALGORITHMS, default=SHA256, help="hashes of Pinakes' API")
    parser.add_argument("--parent-pid", type=int, help="stop when this process ends")
    parser.add_argument("--mint", metavar="WORKSPACE:USER", help="print a token and exit; nothing is served")
    parser.add_argument("--token-for", metavar="WORKSPACE:USER", help="add a token to the JSON line")
    parser.add_argument("--days", type=float, default=DEFAULT_DAYS, help="lifetime of that token in days")
    options = parser.parse_args(arguments)
    settings = HubSettings(
        data_dir=options.data,
        host=options.host,
        port=options.port,
        database_url=options.database,
        secret_file=options.secret_file,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        behind_proxy=options.behind_proxy,
        public_key=options.public_key,
        body_limit=options.body_limit,
        parent_pid=options.parent_pid,
        door=_door(options.door),
        pinakes_hash=options.pinakes_hash,
        name=options.name,
    )
    try:
        if options.mint:
            print(_token(options.data, options.mint, options.days))
        else:
            serve(settings, lambda ready: _announce(ready, options))
    except (ServeError, StoreError, SecretError) as error:
        print(error, file=sys.stderr)
        if options.parent_pid is not None:
            _print_json({"error": str(error)})
        return 1
    return 0


def _door(text: str | None) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _token(data: Path, subject: str, days: float) -> str:
    workspace, _, user = subject.partition(":")
    return mint(hub_secret(data), workspace=workspace, user=user, now=system_clock(), days=days)


def _announce(ready: HubReady, options: argparse.Namespace) -> None:
    token = {"token": _token(options.data, options.token_for, options.days)} if options.token_for else {}
    door = {} if ready.door is None else {"door": asdict(ready.door)}
    error = {"door_error": ready.door_error} if ready.door_error else {}
    _print_json({"url": ready.url, "pid": ready.pid, **token, **door, **error})


def _print_json(document: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
