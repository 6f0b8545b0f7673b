"""An import that somebody has looked at and not yet decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from portal.crypto import EncryptedTextField
from portal.rows import Referenced


class ContactImport(Referenced):
    """A file of contacts, held for an hour while a person looks at what it would change. Encrypted at rest.

    What it would change is planned anew each time it is looked at: the account's contacts may have changed meanwhile.
    Once it was taken in the text goes; the row stays for its hour, so that a repeated request finds what it asks about.
    """

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="contact_imports")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    text = EncryptedTextField(null=True)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    account_path = "account"

    class Meta:
        app_label = "accounts"
        constraints = [
            # Whoever begins another has done with the one before.
            models.UniqueConstraint(name="contact_import_one_a_person", fields=["account", "made_by"]),
        ]
        indexes = [models.Index(fields=["expires_at"], name="contact_import_ends")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.made_at:%F %H:%M}"
