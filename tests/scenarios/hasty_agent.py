"""``raven-agent`` that scans a folder with too few watches every 3 seconds: ``python hasty_agent.py WORDS``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from agent.cli.main import main
from agent.disk.watch.watcher import Watcher

RESCAN_SECONDS: Final = 3.0

if __name__ == "__main__":
    defaults = Watcher.__init__.__kwdefaults__
    assert defaults is not None
    defaults["rescan_seconds"] = RESCAN_SECONDS
    main()
