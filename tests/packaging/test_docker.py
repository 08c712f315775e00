"""The hub's image without docker: the steps of its Dockerfile, carried out one by one in a fresh Debian."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from support import debian

pytestmark = pytest.mark.packages


def _steps() -> list[tuple[str, str]]:
    text = (debian.CHECKOUT / "packaging" / "docker" / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


def test_the_image_serves_a_healthy_hub_as_its_own_user(root: Path) -> None:
    """The images steps give a hub that serves as its own user and is healthy."""
    debian.install(root, "python3", "python3-venv", "python3-pip", "ca-certificates")
    debian.snapshot(root / "src")
    steps = _steps()
    # One environment stands for both stages; what is copied between them is there already.
    for word, rest in steps:
        if word == "RUN":
            debian.inside(root, f"cd /src && {rest}")
        elif word == "COPY" and not rest.startswith(("--from", ". ")):
            source, target = rest.split()
            shutil.copy(debian.CHECKOUT / source, root / target.lstrip("/"))
    said = dict(steps)
    start = shlex.join(json.loads(said["ENTRYPOINT"]))
    healthy = shlex.join(json.loads(said["HEALTHCHECK"].partition("CMD ")[2]))
    as_user = f"setpriv --reuid={said['USER']} --regid={said['USER']} --clear-groups"
    environment = f'export {said["ENV"]}; run() {{ {as_user} "$@"; }}'

    served = f"""{environment}
        run {healthy} && exit 3
        {as_user} {start} --behind-proxy > /hub.log 2>&1 & hub=$!
        for _ in $(seq 300); do run {healthy} && break; sleep 0.2; done
        run {healthy} || {{ cat /hub.log; exit 4; }}
        [ "$(stat -c %U /data/hub/hub.db)" = raven-hub ] || exit 5
        kill -TERM $hub; wait $hub || {{ cat /hub.log; exit 6; }}"""
    debian.inside(root, served)
