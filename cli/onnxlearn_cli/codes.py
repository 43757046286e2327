"""Exit codes of the command."""

from __future__ import annotations

DONE = 0
OUR_FAULT = 1
USERS_MISTAKE = 2
INTERRUPTED = 130
