"""What all tests run under."""

from __future__ import annotations

import signal

# What a script runs in the background ignores Ctrl-C, and so would the processes that are interrupted here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
