"""Bring the database up to date and load the demo accounts, in one process to start quickly.

`python -m portal.embedded.prepare FILE` writes to FILE what `load_demo` prints: the log-ins.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from portal.embedded.places import write_private


def main() -> None:
    """Migrate, then load the demo accounts where the portal has the command for it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django
    from django.core.management import call_command, get_commands
    from django.db.utils import OperationalError

    django.setup()
    try:
        call_command("migrate", interactive=False, verbosity=1)
    except OperationalError as error:
        sys.exit(f"The database in DATABASE_URL does not answer: {error}")
    log_ins = io.StringIO()
    if "load_demo" in get_commands():
        call_command("load_demo", stdout=log_ins)
    write_private(Path(sys.argv[1]), log_ins.getvalue())


if __name__ == "__main__":
    main()
