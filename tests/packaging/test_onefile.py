"""The single file on a system that has no Python at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support import debian

pytestmark = pytest.mark.packages

_DAEMON = """
set -e
mkdir /root/notes; echo one > /root/notes/a.md
raven-agent up /root/notes --once --json
raven-agent run > /root/run.log 2>&1 & daemon=$!
end=$(($(date +%s) + 60))
until [ -S /root/.local/state/raven-agent/agent.sock ]; do [ "$(date +%s)" -lt $end ]; sleep 0.2; done
echo two > /root/notes/b.md
until raven-agent files /root/notes --json | tr -d ' \n' | grep -q '"path":"b.md","state":"ok"'; do
    [ "$(date +%s)" -lt $end ]; sleep 0.2
done
kill -TERM $daemon
wait $daemon
[ -z "$(ls /tmp)" ]
"""


@pytest.fixture(scope="module")
def single_file(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single file of this checkout."""
    return debian.build(source, tmp_path_factory.mktemp("file"), "file")


def test_it_runs_without_python_and_leaves_nothing_unpacked(single_file: Path, root: Path) -> None:
    """It runs where there is no python and leaves nothing unpacked."""
    shutil.copy(single_file, root / "usr/local/bin/raven-agent")
    assert debian.inside(root, "ls /usr/bin | grep -c python || true").strip() == "0"
    assert debian.inside(root, "raven-agent --version").startswith("raven-agent, version ")
    said = debian.inside(root, _DAEMON)
    assert json.loads(said)["sources"][0]["state"] == "up_to_date"
    assert debian.inside(root, "raven-agent hub token --workspace w --user u").count(".") == 2
