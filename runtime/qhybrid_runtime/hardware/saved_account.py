"""Whether the IBM client has an account, without importing the client."""

import json
import os
from pathlib import Path

#: One line for whoever has none.
HOW_TO_SAVE = (
    'save one with `python -c "from qiskit_ibm_runtime import QiskitRuntimeService as S; '
    "S.save_account(token='<API key>')\"` (or set QISKIT_IBM_TOKEN), or run offline with "
    "`--backend fake_fez`"
)


def account_is_saved() -> bool:
    """Return whether the client would find an account: in the environment or in its file."""
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return True
    path = Path("~/.qiskit/qiskit-ibm.json").expanduser()
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # The old channel is gone; the client ignores accounts of it.
    return isinstance(saved, dict) and any(
        isinstance(account, dict) and account.get("channel") != "ibm_quantum"
        for account in saved.values()
    )
