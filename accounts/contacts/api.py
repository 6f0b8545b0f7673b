"""The API of an account's contacts: the same services as the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import examples
from accounts.contacts import asking, coverage_services, roster_services, selectors, services
from accounts.contacts.models import (
    ConfirmedBy,
    CoverageOverride,
    OtherParty,
    ProvenHow,
    Rotation,
    SupportPin,
)
from accounts.contacts.proving import UNPROVEN
from accounts.contacts.serializers import (
    AskIn,
    CallOrderOut,
    ConfirmedOut,
    ConfirmListIn,
    ContactAddIn,
    ContactIn,
    ContactOut,
    CoverageIn,
    CoverageOut,
    DutyOut,
    KeepIn,
    LinkOut,
    OverrideIn,
    OverrideOut,
    PartyIn,
    PartyOut,
    ProveIn,
    RotationIn,
    RotationOut,
    SupportPinIn,
    SupportPinOut,
)
from accounts.erasure import erase_contact, was_contact_of
from accounts.models import Account, Contact, ContactRole
from portal.access import Permission
from portal.api import PortalAPIView, documented, etag_of
from portal.errors import Refused, StaleState
from portal.lists import ListAsked, filter_parameter, order_parameter, search_parameter
from portal.moments import moment_of

_REASON = OpenApiParameter(
    "reason",
    description="What the contact data is for (support); it is kept with who read it, for the people to see.",
)
_CONTACT_LIST = [
    search_parameter("name, mail address or phone number"),
    filter_parameter("role", selectors.CONTACT_FILTERS["role"], "Only those who are called for this."),
    filter_parameter("freshness", selectors.FRESHNESS, "Only those whose confirmation is this fresh."),
    order_parameter(selectors.CONTACT_ORDERS),
    _REASON,
]


_UNSAID = "read by the API, no reason given"


class ContactsRead(PortalAPIView, abstract=True):
    """Reads contact data: each use is logged with its reason, for the person to see."""

    def used(self, account: Account, contacts: Iterable[Contact]) -> None:
        """Log who read whom, and why: a program that repeats itself once an hour."""
        reason = " ".join(self.request.query_params.get("reason", "").split())[:300]
        if self.token is None and self.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            # A link from elsewhere, pressed by somebody who is logged in: its words are not theirs.
            reason = ""
        selectors.record_read(list(contacts), account=account, reason=reason or _UNSAID, actor=self.user)

    def written(self, contact: Contact, status: int = 200) -> Response:
        """Answer a write with its row; where the token may not read contacts, that is a use like any other."""
        if not self.has_scope(Permission.CONTACT_VIEW):
            self.used(contact.account, [contact])
        return self.show(ContactOut, contact, status=status)


class ContactListApi(ContactsRead):
    """Contacts of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_list",
        ContactOut,
        summary="List an account's contacts in their order of call",
        paged=True,
        example=examples.CONTACT,
        parameters=_CONTACT_LIST,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """In the order of call unless `order` says otherwise."""
        account = self.find(Account, account_ref)
        rows = Contact.objects.filter(account=account).select_related("account")
        asked = ListAsked.of(
            self.request.query_params,
            filters=selectors.CONTACT_FILTERS,
            orders=selectors.CONTACT_ORDERS,
            strict=True,
        )
        rows = selectors.contacts_narrowed(rows, asked, today=timezone.now().date())
        return self.page(
            rows,
            ContactOut,
            order=asked.order,
            filters={"account": account.pk},
            # Whatever of them `fields` leaves: who was read is on record.
            shown=lambda found: self.used(account, found),
        )

    @documented(
        "contacts_add",
        ContactOut,
        summary="Add a contact",
        request=ContactAddIn,
        status=201,
        once=True,
        example=examples.CONTACT,
        request_example=examples.CONTACT_IN,
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """A new contact is unconfirmed. Purpose is support and nothing else.

        409 (`contact-exists`) where the account lists somebody with the same mail address, or the same name and number:
        change that one, or send `all_the_same`.
        """
        account = self.find(Account, account_ref)
        data = self.read(ContactAddIn)
        all_the_same = data.pop("all_the_same", False)

        def effect() -> Response:
            try:
                contact: Any = services.add_contact(account, data, actor=self.user, all_the_same=all_the_same)
            except services.ThereAlready as there:
                # References and no names: whoever may add may not be one who may read.
                refs = ", ".join(str(one.ref) for one in there.contacts)
                raise StaleState(
                    f"This may be somebody who is listed already: {refs}. Nothing was added. Change that contact, or "
                    "send `all_the_same`: true.",
                    code=there.code,
                ) from None
            contact.standing = UNPROVEN
            return self.show(ContactOut, contact, status=201)

        return self.once(effect)


class ContactApi(ContactsRead):
    """One contact."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_read",
        ContactOut,
        summary="Read one contact",
        example=examples.CONTACT,
        parameters=[_REASON],
        tag="contacts",
    )
    def get(self, request: Request, contact_ref: UUID) -> Response:
        """With an ETag for a later change."""
        contact = self.find(Contact, contact_ref)
        self.used(contact.account, [contact])
        return self.show(ContactOut, contact)

    @documented(
        "contacts_change",
        ContactOut,
        summary="Change a contact",
        request=ContactIn,
        if_match=True,
        example=examples.CONTACT,
        request_example={"phone": "+493012345679"},
        tag="contacts",
    )
    def patch(self, request: Request, contact_ref: UUID) -> Response:
        """A new name, mail address, phone or role needs a new confirmation."""
        contact = self.find(Contact, contact_ref)
        data = self.read(ContactIn, partial=True)

        def effect() -> Response:
            locked = (
                Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
            )
            self.match(locked)
            return self.written(services.change_contact(locked, data, actor=self.user))

        return self.once(effect)

    @documented(
        "contacts_remove", None, summary="Remove a contact", status=204, if_match=True, tag="contacts"
    )
    def delete(self, request: Request, contact_ref: UUID) -> Response:
        """The audit keeps that there was one."""
        contact = self.find(Contact, contact_ref)

        def effect() -> Response:
            locked = (
                Contact.objects.select_for_update(of=("self",)).select_related("account").get(pk=contact.pk)
            )
            self.match(locked)
            services.remove_contact(locked, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class ContactConfirmApi(ContactsRead):
    """Confirm a contact."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_confirm",
        ContactOut,
        summary="Confirm that a contact is still right",
        command=True,
        example=examples.CONTACT,
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """Sets `confirmed_on` to today, in your name."""
        contact = self.find(Contact, contact_ref)
        return self.once(
            lambda: self.written(
                services.confirm_contact(
                    contact, actor=self.user, on=timezone.now().date(), channel=ConfirmedBy.API
                )
            ),
            required=True,
        )


class ContactKeepApi(ContactsRead):
    """Settle that somebody said: this is not me."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_keep",
        ContactOut,
        summary="Keep a contact as listed, although its mailbox said: this is not me",
        request=KeepIn,
        command=True,
        example=examples.CONTACT,
        request_example={"reason": "Called: the mailbox is read by an assistant."},
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """Mail goes there again. 422 where nobody said so (any more). To correct, change name or mail address; to remove, erase."""
        contact = self.find(Contact, contact_ref)
        data = self.read(KeepIn)
        return self.once(
            lambda: self.written(services.keep_contact(contact, actor=self.user, reason=data["reason"])),
            required=True,
        )


class EraseIn(serializers.Serializer[Any]):
    """Why somebody is erased."""

    reason = serializers.CharField(max_length=500)


class ContactEraseApi(PortalAPIView):
    """Erase a contact for good."""

    permission = Permission.ERASE

    @documented(
        "contacts_erase",
        None,
        summary="Erase a person for good, also one that was removed before",
        request=EraseIn,
        status=204,
        command=True,
        request_example={"reason": "Asked for it on 23 November."},
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID, contact_ref: UUID) -> Response:
        """It cannot be undone: nobody can read the person's name, mail address and phone number any more, in the audit either."""
        account = self.find(Account, account_ref)
        data = self.read(EraseIn)
        is_known = Contact.objects.filter(account=account, ref=contact_ref).exists()
        if not is_known and not was_contact_of(account, contact_ref):
            raise Http404("There is nothing here that you can see.")

        def effect() -> Response:
            erase_contact(account, contact_ref, actor=self.user, reason=data["reason"])
            return Response(status=204)

        return self.once(effect, required=True)


class ContactProveApi(ContactsRead):
    """Log a call that proves a channel."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_prove",
        ContactOut,
        summary="Log that the person answered on this very number or mail address",
        request=ProveIn,
        command=True,
        example=examples.CONTACT,
        request_example={
            "channel": "phone",
            "value": "+46701234567",
            "reason": "Called back after the review.",
        },
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """In your name. A value that the contact does not have (any more) is refused."""
        contact = self.find(Contact, contact_ref)
        data = self.read(ProveIn)

        def effect() -> Response:
            services.prove_channel(
                contact,
                kind=data["channel"],
                value=data["value"],
                how=ProvenHow.CALL,
                actor=self.user,
                reason=data.get("reason", ""),
            )
            return self.written(Contact.objects.select_related("account").get(pk=contact.pk))

        return self.once(effect, required=True)


class ContactAskApi(PortalAPIView):
    """Mail a contact a link."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_ask",
        LinkOut,
        summary="Mail a link: prove the mailbox, confirm, or see what is held",
        request=AskIn,
        status=201,
        command=True,
        example=examples.CONTACT_LINK,
        request_example={"use": "prove"},
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """The link is in the mail alone. It changes nothing until its button is pressed; one sent before ends."""
        contact = self.find(Contact, contact_ref)
        data = self.read(AskIn)

        def effect() -> Response:
            link = asking.send_link(contact, data["use"], actor=self.user)
            return Response(LinkOut(link).data, status=201)

        return self.once(effect, required=True)


class ContactLinksRevokeApi(PortalAPIView):
    """Take back a contact's links."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_revoke_links",
        None,
        summary="Take back every open link of a contact",
        status=204,
        command=True,
        tag="contacts",
    )
    def post(self, request: Request, contact_ref: UUID) -> Response:
        """They open nothing from then on. A repeat changes nothing."""
        contact = self.find(Contact, contact_ref)

        def effect() -> Response:
            asking.revoke_links(contact, actor=self.user)
            return Response(status=204)

        return self.once(effect, required=True)


class ContactConfirmListApi(PortalAPIView):
    """Confirm several contacts."""

    permission = Permission.CONTACT_EDIT

    @documented(
        "contacts_confirm_list",
        ConfirmedOut,
        summary="Confirm several contacts of an account at once",
        request=ConfirmListIn,
        command=True,
        example={"confirmed": 2},
        request_example={
            "contacts": [examples.CONTACT_REF],
            "seen": {examples.CONTACT_REF: examples.CONTACT["seen"]},
        },
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """In your name, as of today; all of them or none. 409 where one reads otherwise than the `seen` that you send."""
        account = self.find(Account, account_ref)
        data = self.read(ConfirmListIn)

        def effect() -> Response:
            count = asking.confirm_list(
                account,
                data["contacts"],
                actor=self.user,
                on=timezone.now().date(),
                channel=ConfirmedBy.API,
                seen={UUID(ref): digest for ref, digest in data["seen"].items()},
            )
            return Response(ConfirmedOut({"confirmed": count}).data)

        return self.once(effect, required=True)


class CallOrderApi(ContactsRead):
    """Whom to call for a role, now or at a moment."""

    permission = Permission.CONTACT_VIEW

    @documented(
        "call_order_read",
        CallOrderOut,
        summary="Whom to call for a role, in order",
        example=examples.CALL_ORDER,
        parameters=[
            OpenApiParameter("role", enum=list(ContactRole.values), description="`emergency` if not given."),
            OpenApiParameter("at", OpenApiTypes.DATETIME, description="Now if not given."),
            OpenApiParameter("about", description="A provider's id of a load balancer or server."),
            _REASON,
        ],
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Rotations are resolved; whoever cannot be called keeps the place and says why."""
        account = self.find(Account, account_ref)
        params = self.request.query_params
        role = params.get("role", ContactRole.EMERGENCY)
        if role not in ContactRole.values:
            raise Refused(f"`role` is one of {', '.join(ContactRole.values)}.", code="bad_filter")
        at = timezone.now() if not params.get("at") else moment_of(params["at"])
        if at is None:
            raise Refused("`at` is a moment with its offset, like 2026-11-23T12:10:00Z.", code="bad_filter")
        people = selectors.call_order(account, role, at, about=params.get("about", "")[:100])
        self.used(account, [one.contact for one in people])
        return Response(CallOrderOut({"role": role, "at": at, "people": people}).data)


# --- coverage ----------------------------------------------------------------------------------------------


class CoverageApi(PortalAPIView):
    """What an account must have in contacts."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "coverage_read",
        CoverageOut,
        summary="What an account must have in contacts, and what is missing now",
        example=examples.COVERAGE,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Gaps name nobody. `may_begin` is about a run or drill at this moment."""
        return self._shown(self.find(Account, account_ref))

    @documented(
        "coverage_change",
        CoverageOut,
        summary="Choose a preset of rules, or give rules of your own",
        request=CoverageIn,
        if_match=True,
        example=examples.COVERAGE,
        request_example={"preset": "around_the_clock"},
        tag="contacts",
    )
    def patch(self, request: Request, account_ref: UUID) -> Response:
        """One of the two: `preset`, or `rules`."""
        account = self.find(Account, account_ref)
        data = self.read(CoverageIn)

        def effect() -> Response:
            self.match(selectors.coverage_version(account))
            coverage_services.set_coverage(
                account, preset=data.get("preset", ""), rules=data.get("rules"), actor=self.user
            )
            return self._shown(account)

        return self.once(effect)

    def _shown(self, account: Account) -> Response:
        data = selectors.coverage_seen(account, timezone.now())
        version = selectors.coverage_version(account)
        return Response(CoverageOut(data).data, headers={"ETag": etag_of(version)})


class OverrideListApi(PortalAPIView):
    """Overrides of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.OVERRIDE

    @documented(
        "coverage_overrides_list",
        OverrideOut,
        summary="List decisions to begin although somebody is missing",
        paged=True,
        example=examples.OVERRIDE,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first; they stay on the record."""
        account = self.find(Account, account_ref)
        rows = CoverageOverride.objects.filter(account=account)
        return self.page(rows, OverrideOut, filters={"account": account.pk})

    @documented(
        "coverage_overrides_give",
        OverrideOut,
        summary="Let runs and drills begin although somebody is missing",
        request=OverrideIn,
        status=201,
        command=True,
        example=examples.OVERRIDE,
        request_example={
            "reason": "The director is on the bridge with us.",
            "expires_at": "2026-11-24T12:00:00Z",
        },
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Leads only; with a reason, for at most 14 days."""
        account = self.find(Account, account_ref)
        data = self.read(OverrideIn)

        def effect() -> Response:
            row = coverage_services.give_override(account, **data, actor=self.user)
            return self.show(OverrideOut, CoverageOverride.objects.filter(pk=row.pk)[0], status=201)

        return self.once(effect, required=True)


class OverrideEndApi(PortalAPIView):
    """Take an override back."""

    permission = Permission.OVERRIDE

    @documented(
        "coverage_overrides_end",
        OverrideOut,
        summary="Take an override back before it ends",
        command=True,
        example=examples.OVERRIDE,
        tag="contacts",
    )
    def post(self, request: Request, override_ref: UUID) -> Response:
        """A repeat changes nothing."""
        row = self.find(CoverageOverride.objects.select_related("account"), override_ref)

        def effect() -> Response:
            coverage_services.end_override(row, actor=self.user)
            return self.show(OverrideOut, CoverageOverride.objects.filter(pk=row.pk)[0])

        return self.once(effect, required=True)


# --- rotations ---------------------------------------------------------------------------------------------


class RotationListApi(PortalAPIView):
    """Rotations of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "rotations_list",
        RotationOut,
        summary="List an account's rotations, with who is on duty",
        paged=True,
        example=examples.ROTATION,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """By name."""
        account = self.find(Account, account_ref)
        return self.page(
            selectors.rotations_of(account), RotationOut, order="name", filters={"account": account.pk}
        )

    @documented(
        "rotations_add",
        RotationOut,
        summary="Add a rotation",
        request=RotationIn,
        status=201,
        once=True,
        example=examples.ROTATION,
        request_example=examples.ROTATION_IN,
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """`members` are contacts of the account in their order; `roles` call whoever is on duty first."""
        account = self.find(Account, account_ref)
        data = self.read(RotationIn)
        return self.once(lambda: self.show(RotationOut, _kept_rotation(account, data, self.user), status=201))


class RotationApi(PortalAPIView):
    """One rotation."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "rotations_read", RotationOut, summary="Read one rotation", example=examples.ROTATION, tag="contacts"
    )
    def get(self, request: Request, rotation_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(RotationOut, self.find(Rotation, rotation_ref))

    @documented(
        "rotations_change",
        RotationOut,
        summary="Change a rotation",
        request=RotationIn,
        if_match=True,
        example=examples.ROTATION,
        request_example={"hand_overs": [{"day": 0, "at": "09:00"}, {"day": 3, "at": "09:00"}]},
        tag="contacts",
    )
    def patch(self, request: Request, rotation_ref: UUID) -> Response:
        """Only the fields given are changed."""
        row = self.find(Rotation.objects.select_related("account"), rotation_ref)
        data = self.read(RotationIn, partial=True)

        def effect() -> Response:
            locked = Rotation.objects.select_for_update(of=("self",)).select_related("account").get(pk=row.pk)
            self.match(locked)
            assert locked.account is not None
            return self.show(RotationOut, _kept_rotation(locked.account, data, self.user, locked))

        return self.once(effect)

    @documented(
        "rotations_remove", None, summary="Remove a rotation", status=204, if_match=True, tag="contacts"
    )
    def delete(self, request: Request, rotation_ref: UUID) -> Response:
        """Its roles are called in the order of their contacts again."""
        row = self.find(Rotation.objects.select_related("account"), rotation_ref)

        def effect() -> Response:
            self.match(Rotation.objects.select_for_update(of=("self",)).get(pk=row.pk))
            roster_services.remove_rotation(row, actor=self.user)
            return Response(status=204)

        return self.once(effect)


def _kept_rotation(
    account: Account, data: Mapping[str, Any], actor: Any, row: Rotation | None = None
) -> Rotation:
    fields = dict(data)
    refs, roles = fields.pop("members", None), fields.pop("roles", None)
    if refs is None:
        assert row is not None
        listed = list(selectors.duty_of(row).members)
    else:
        known = {contact.ref: contact for contact in Contact.objects.filter(account=account, ref__in=refs)}
        if any(ref not in known for ref in refs):
            raise Refused("`members` names somebody who is no contact of this account.", code="bad_members")
        listed = [known[ref] for ref in refs]
    if roles is None:
        roles = [] if row is None else list(row.role_duties.values_list("role", flat=True))
    kept = roster_services.set_rotation(
        account, fields, members=listed, roles=roles, actor=actor, rotation=row
    )
    return Rotation.objects.select_related("account").get(pk=kept.pk)


# --- other parties, the support PIN, the team on duty ------------------------------------------------------


class PartyListApi(PortalAPIView):
    """Other parties of an account."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "parties_list",
        PartyOut,
        summary="List the other parties that an account depends on",
        paged=True,
        example=examples.PARTY,
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """By name."""
        account = self.find(Account, account_ref)
        rows = OtherParty.objects.filter(account=account).select_related("account")
        return self.page(rows, PartyOut, order="name", filters={"account": account.pk})

    @documented(
        "parties_add",
        PartyOut,
        summary="Add another party",
        request=PartyIn,
        status=201,
        once=True,
        example=examples.PARTY,
        request_example=examples.PARTY_IN,
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """An agency, DNS registrar, CDN, payment provider or other, and how to reach it."""
        account = self.find(Account, account_ref)
        data = self.read(PartyIn)
        return self.once(
            lambda: self.show(PartyOut, roster_services.set_party(account, data, actor=self.user), status=201)
        )


class PartyApi(PortalAPIView):
    """One other party."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "parties_read", PartyOut, summary="Read one other party", example=examples.PARTY, tag="contacts"
    )
    def get(self, request: Request, party_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(PartyOut, self.find(OtherParty, party_ref))

    @documented(
        "parties_change",
        PartyOut,
        summary="Change another party",
        request=PartyIn,
        if_match=True,
        example=examples.PARTY,
        request_example={"customer_number": "88-1208"},
        tag="contacts",
    )
    def patch(self, request: Request, party_ref: UUID) -> Response:
        """Only the fields given are changed."""
        row = self.find(OtherParty.objects.select_related("account"), party_ref)
        data = self.read(PartyIn, partial=True)

        def effect() -> Response:
            locked = (
                OtherParty.objects.select_for_update(of=("self",)).select_related("account").get(pk=row.pk)
            )
            self.match(locked)
            return self.show(
                PartyOut, roster_services.set_party(locked.account, data, actor=self.user, party=locked)
            )

        return self.once(effect)

    @documented(
        "parties_remove", None, summary="Remove another party", status=204, if_match=True, tag="contacts"
    )
    def delete(self, request: Request, party_ref: UUID) -> Response:
        """The audit keeps that there was one."""
        row = self.find(OtherParty.objects.select_related("account"), party_ref)

        def effect() -> Response:
            self.match(OtherParty.objects.select_for_update(of=("self",)).get(pk=row.pk))
            roster_services.remove_party(row, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class SupportPinApi(PortalAPIView):
    """Whether the support PIN is at hand."""

    permission = Permission.CONTACT_VIEW
    write_permission = Permission.CONTACT_EDIT

    @documented(
        "support_pin_read",
        SupportPinOut,
        summary="Whether the account's support PIN is at hand, and as of when",
        example={"is_ready": True, "as_of": "2026-11-20"},
        tag="contacts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Null if nobody said. The PIN itself is nowhere stored."""
        account = self.find(Account, account_ref)
        row = SupportPin.objects.filter(account=account).first()
        return Response(SupportPinOut(row or {"is_ready": None, "as_of": None}).data)

    @documented(
        "support_pin_say",
        SupportPinOut,
        summary="Say whether the support PIN is at hand",
        request=SupportPinIn,
        command=True,
        example={"is_ready": True, "as_of": "2026-11-20"},
        request_example={"is_ready": True},
        tag="contacts",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """As of today. Never send the PIN."""
        account = self.find(Account, account_ref)
        data = self.read(SupportPinIn)

        def effect() -> Response:
            row = roster_services.set_support_pin(account, is_ready=data["is_ready"], actor=self.user)
            return Response(SupportPinOut(row).data)

        return self.once(effect, required=True)


class DutyApi(PortalAPIView):
    """Who of the launch team is on duty."""

    permission = Permission.ACCOUNT_VIEW

    @documented(
        "duty_read",
        DutyOut,
        summary="Who of the launch team is on duty now and tonight",
        example=examples.DUTY,
        tag="accounts",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """With the team's number and its bridge."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        return Response(DutyOut(selectors.team_duty(account, timezone.now())).data)
