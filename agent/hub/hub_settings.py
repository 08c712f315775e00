"""Settings of a hub process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.hub.listening import DEFAULT_HOST
from agent.hub.pinakes.hashes import SHA256
from agent.hub.raven.endpoints import BODY_LIMIT


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Settings of a hub process.

    Attributes:
        data_dir: the hub's own folder for database, secret and remembered port. Created with 0700 if missing.
        host, port: address to listen on. Port None: 8674 or the remembered one; if that is taken, another free one,
            which is remembered. Port 0: any free one. Any other number: that one or none.
        database_url: a database outside `data_dir`.
        secret_file: the signing secret, if it is not in `data_dir`. Several hubs on one database share it.
        tls_cert, tls_key: PEM files. With them the hub speaks HTTPS. Without them, and off loopback, it makes its own.
        behind_proxy: a proxy in front terminates TLS, so plain HTTP off loopback is intended.
        public_key: a PEM file. Tokens are then signed by another issuer (RS256, ES256), not with the hub's secret.
        body_limit: largest request body in bytes.
        write_threads: requests that write at once, None for the database's default.
        rate_limit: requests a minute of one token, None for no limit.
        parent_pid: stop when this process ends.
        pinakes_hash: algorithm of the content hashes in Pinakes' API, one of `agent.hub.pinakes.hashes.ALGORITHMS`.
        door: a second address to listen on, for other machines, with the hub's own certificate. None for none.
        name: name of this machine for those that join, see the setting `machine_name`. Empty for its host name.
    """

    data_dir: Path
    host: str = DEFAULT_HOST
    port: int | None = None
    database_url: str | None = None
    secret_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    public_key: Path | None = None
    body_limit: int = BODY_LIMIT
    write_threads: int | None = None
    rate_limit: int | None = None
    parent_pid: int | None = None
    pinakes_hash: str = SHA256
    door: tuple[str, int] | None = None
    name: str = ""
