"""What holds for every test."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As for whatever a script starts in the background; every process under test would inherit it and hear no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
