"""How fast the audit is sealed and proved, on a million entries in an embedded PostgreSQL of its own."""

from __future__ import annotations

import os
import resource
import secrets
import time

from cryptography.fernet import Fernet

ROWS = 1_000_000


def audit(rows: int = ROWS) -> dict[str, float]:
    """Return rows a second of sealing and of verifying, and the memory that verifying took (MiB)."""
    from portal.embedded import start_services

    held = start_services(forgetful=True)
    try:
        os.environ.update(held.env)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="portal.settings",
            DESK_MODE="1",
            AUDIT_KEY=secrets.token_urlsafe(48),
            FIELD_KEYS=Fernet.generate_key().decode(),
        )
        return _measure(rows)
    finally:
        held.stop()


def _measure(rows: int) -> dict[str, float]:
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0)
    from portal.audit import sealer
    from portal.audit.verify import verify

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (what, actor_ref, actor_name, on_behalf_of_ref, on_behalf_of_name,"
            " account_ref, account_name, subject_type, subject_ref, subject_label, before, after, reason, address,"
            " token_prefix, request_id)"
            " SELECT 'contact.changed', gen_random_uuid()::text, 'Jonas Berg', '', '', gen_random_uuid(),"
            " 'Lindgren Outdoor', 'accounts.contact', gen_random_uuid()::text, 'Maja Lindgren',"
            " jsonb_build_object('phone', '+4670123' || n), jsonb_build_object('phone', '+4670124' || n), '',"
            " '203.0.113.9', '', gen_random_uuid()::text FROM generate_series(1, %s) AS n",
            [rows],
        )
        cursor.execute("ANALYZE")
    began = time.monotonic()
    sealed = sealer.seal_due(budget_s=3600)
    seal_s = time.monotonic() - began
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    found = verify()
    verify_s = time.monotonic() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if not found.ok or found.seals != sealed != rows:
        raise AssertionError(f"{found.counts}: {sealed} sealed, {found.seals} verified of {rows}")
    return {
        "audit_rows": rows,
        "audit_sealed_rows_per_s": round(sealed / seal_s),
        "audit_verified_rows_per_s": round(found.seals / verify_s),
        "audit_verify_memory_mib": round(grown / 1024, 1),
    }
