"""The hub as a child process: `python -P -m agent.hub --data DIR`. One JSON line on stdout says that it is ready,
or to a parent why it cannot be."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from agent.hub.auth import DEFAULT_DAYS, SecretError, hub_secret, mint
from agent.hub.domain.ids import system_clock
from agent.hub.raven.endpoints import BODY_LIMIT
from agent.hub.serve import DEFAULT_HOST, HubReady, HubSettings, ServeError, serve
from agent.hub.store.sql_store import StoreError


def main(arguments: list[str] | None = None) -> int:
    """Run the hub, or mint a token; 0 when that is done, 1 with a sentence on stderr if it cannot be."""
    parser = argparse.ArgumentParser(prog="agent.hub", description="The embedded document server.")
    parser.add_argument("--data", type=Path, required=True, help="the hub's folder")
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, help="0: any free one; left out: 8674 or the one remembered")
    parser.add_argument("--database", help="a database URL instead of a file in the folder")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--behind-proxy", action="store_true")
    parser.add_argument("--public-key", type=Path, help="check tokens with this PEM instead of the hub's secret")
    parser.add_argument("--body-limit", type=int, default=BODY_LIMIT)
    parser.add_argument("--parent-pid", type=int, help="end when this process ends")
    parser.add_argument("--mint", metavar="WORKSPACE:USER", help="print a token and end; nothing is served")
    parser.add_argument("--token-for", metavar="WORKSPACE:USER", help="say a token with the line that says it is ready")
    parser.add_argument("--days", type=float, default=DEFAULT_DAYS, help="how long that token is good for")
    given = parser.parse_args(arguments)
    settings = HubSettings(
        data_dir=given.data,
        host=given.host,
        port=given.port,
        database_url=given.database,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        behind_proxy=given.behind_proxy,
        public_key=given.public_key,
        body_limit=given.body_limit,
        parent_pid=given.parent_pid,
    )
    try:
        if given.mint:
            print(_token(given.data, given.mint, given.days))
        else:
            serve(settings, lambda ready: _announce(ready, given))
    except (ServeError, StoreError, SecretError) as error:
        print(error, file=sys.stderr)
        if given.parent_pid is not None:
            _say({"error": str(error)})
        return 1
    return 0


def _token(data: Path, whom: str, days: float) -> str:
    workspace, _, user = whom.partition(":")
    return mint(hub_secret(data), workspace=workspace, user=user, now=system_clock(), days=days)


def _announce(ready: HubReady, given: argparse.Namespace) -> None:
    token = {"token": _token(given.data, given.token_for, given.days)} if given.token_for else {}
    _say({"url": ready.url, "pid": ready.pid, **token})


def _say(document: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
