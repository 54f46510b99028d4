"""Building images: what is sent, which builder makes them, what is found inside, and the lock file."""

from __future__ import annotations
