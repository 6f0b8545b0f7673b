"""Bring the database up to date and load the demo accounts, in one process to start quickly.

`python -m portal.embedded.prepare DIRECTORY` keeps in DIRECTORY what `load_demo` prints: the log-ins.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from portal.embedded.places import write_private

COMMAND = "load_demo"


def main(directory: Path) -> None:
    """Migrate, then load the demo accounts unless that was done for this database and simulator."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django
    from django.contrib.auth import get_user_model
    from django.core.management import call_command, get_commands
    from django.db.utils import OperationalError

    from portal.embedded.migrating import quickly

    django.setup()
    try:
        with quickly():
            call_command("migrate", interactive=False, verbosity=1)
    except OperationalError as error:
        sys.exit(f"The database in DATABASE_URL does not answer: {error}")
    app = get_commands().get(COMMAND)
    if not isinstance(app, str):
        return
    # It may run again at any time, but it hashes passwords and looks at the cloud: seconds at each start.
    loaded = directory / "demo-loaded"
    state = _state_of(f"{app}.management.commands.{COMMAND}")
    is_loaded = loaded.exists() and loaded.read_text() == state
    if is_loaded and get_user_model().objects.exists():
        return
    log_ins = io.StringIO()
    call_command(COMMAND, stdout=log_ins)
    write_private(directory / "log-ins.txt", log_ins.getvalue())
    write_private(loaded, state)


def _state_of(module: str) -> str:
    """Return a text that changes with the database, the simulator's address and the command itself."""
    spec = find_spec(module)
    source = Path(spec.origin).read_bytes() if spec is not None and spec.origin else b""
    places = f"{os.environ['DATABASE_URL']}\n{os.environ.get('SIMULATOR_URL')}\n".encode()
    return hashlib.sha256(places + source).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
