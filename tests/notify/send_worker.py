"""One worker that sends what is due, for tests that kill it: `python -m tests.notify.send_worker`."""

from __future__ import annotations

import django

django.setup()

from portal.notify import compose, registry  # noqa: E402
from portal.notify.sending import send_due  # noqa: E402
from tests.notify import conftest  # noqa: E402

compose.load_templates = conftest.templates_of
for purpose in conftest.PURPOSES.values():
    registry.register_purpose(purpose)
print(send_due(budget_s=30), flush=True)
