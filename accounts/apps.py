"""Teams, accounts, members, contacts, cloud connections and tokens."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """App label `accounts`."""

    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Hand in what other parts show: the navigation, the dashboard's panel, the account's tabs."""
        from accounts import audiences, erasure, known_facts, notices, panels, second_factor, sessions
        from accounts.calendar import panels as calendar_panels
        from accounts.cases import facts as facts_of_cases
        from accounts.cases import panels as panels_of_cases
        from accounts.contact_files.services import forget_imports_with
        from accounts.reviews import panels as review_panels
        from accounts.texts import people_in
        from portal.audit.subjects import register_eraser, register_people_in
        from portal.crypto import register_rotation

        panels.register()
        known_facts.register()
        review_panels.register()
        calendar_panels.register()
        audiences.register()
        notices.register()
        panels_of_cases.register()
        facts_of_cases.register()
        sessions.put_on_record()
        register_people_in(people_in)
        register_rotation("mfa.Authenticator", second_factor.rotate_secrets)
        # First the files that may name the person: they are found by the live row.
        register_eraser("contact", forget_imports_with)
        register_eraser("contact", erasure.empty_contact)
        register_eraser("otherparty", erasure.empty_party)
        register_eraser("user", erasure.empty_user)
        register_eraser("invitation", erasure.empty_invitation)
