"""Worker entry points of the audit. Lost, doubled or late, they change nothing: the next one goes on."""

from __future__ import annotations

import structlog
from celery import shared_task

from portal.audit import sealer

log = structlog.get_logger(__name__)


@shared_task(name="portal.audit.tasks.seal", ignore_result=True, acks_late=False, expires=5)
def seal() -> None:
    """Give committed, unsealed entries their place in the chain."""
    sealer.seal_due()


@shared_task(name="portal.audit.tasks.log_head", ignore_result=True, acks_late=False, expires=60)
def log_head() -> None:
    """Tell the log where the chain stands: kept elsewhere, that line shows an end that was cut off."""
    found = sealer.head()
    if found is not None:
        log.info("audit_head", no=found.no, entry=found.entry, key_id=found.key_id, mac=found.mac.hex())
