"""The API of who has access: members, invitations, teams, and an account's beginning and end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import examples, invitations, members, services
from accounts.models import Account, Invitation, Membership, Team, TeamMembership
from accounts.serializers import (
    AccountMemberOut,
    AccountOpenIn,
    AccountOut,
    InvitationIn,
    InvitationOut,
    JoinedOut,
    JoinIn,
    MemberRoleIn,
    RecordedReasonIn,
    TeamInvitationIn,
    TeamMemberOut,
    TeamOut,
    TeamRoleIn,
)
from portal.access import Permission, seen_by_team
from portal.api import PortalAPIView, documented

_MEMBERS = Membership.objects.select_related("user", "granted_by", "account")
_TEAM_MEMBERS = TeamMembership.objects.select_related("user", "granted_by", "team")
_INVITATIONS = Invitation.objects.select_related("invited_by", "account", "team")
_GONE_EXAMPLE = {"reason": "The contract ended."}


class MemberListApi(PortalAPIView):
    """Members of an account."""

    permission = Permission.MEMBER_VIEW

    @documented(
        "members_list",
        AccountMemberOut,
        summary="List who has access to an account",
        paged=True,
        example=examples.MEMBER,
        tag="members",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first. Addresses, log-ins and second factors only for who manages members."""
        account = self.find(Account, account_ref)
        return self.page(_MEMBERS.filter(account=account), AccountMemberOut, filters={"account": account.pk})


class MemberApi(PortalAPIView):
    """One member."""

    permission = Permission.MEMBER_VIEW
    write_permission = Permission.MEMBER_EDIT

    @documented(
        "members_read", AccountMemberOut, summary="Read one member", example=examples.MEMBER, tag="members"
    )
    def get(self, request: Request, member_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(AccountMemberOut, self.find(_MEMBERS, member_ref))

    @documented(
        "members_change",
        AccountMemberOut,
        summary="Change a member's role",
        request=MemberRoleIn,
        if_match=True,
        example=examples.MEMBER,
        request_example={"role": "editor"},
        tag="members",
    )
    def patch(self, request: Request, member_ref: UUID) -> Response:
        """Counts at once. Nobody gives a role above their own; the last admin stays one."""
        member = self.find(_MEMBERS, member_ref)
        role = self.read(MemberRoleIn)["role"]

        def effect() -> Response:
            members.lock_account(member.account)
            self.match(Membership.objects.get(pk=member.pk))
            members.grant_role(member.account, member.user, role, actor=self.user)
            return self.show(AccountMemberOut, _MEMBERS.get(pk=member.pk))

        return self.once(effect)

    @documented("members_remove", None, summary="Remove a member", status=204, if_match=True, tag="members")
    def delete(self, request: Request, member_ref: UUID) -> Response:
        """At once: pages, tokens and live views no longer reach the account. The last admin stays."""
        member = self.find(_MEMBERS, member_ref)

        def effect() -> Response:
            members.lock_account(member.account)
            self.match(Membership.objects.get(pk=member.pk))
            members.remove_member(member.account, member.user, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class LeaveApi(PortalAPIView):
    """Give up the own role on an account."""

    permission = Permission.MEMBER_VIEW

    @documented("members_leave", None, summary="Leave an account", status=204, command=True, tag="members")
    def post(self, request: Request, account_ref: UUID) -> Response:
        """At once. The last admin stays."""
        self.check_scope(Permission.MEMBER_EDIT)
        account = self.find(Account, account_ref)

        def effect() -> Response:
            members.remove_member(account, self.user, actor=self.user)
            return Response(status=204)

        return self.once(effect, required=True)


class InvitationListApi(PortalAPIView):
    """Invitations to an account."""

    permission = Permission.MEMBER_EDIT

    @documented(
        "invitations_list",
        InvitationOut,
        summary="List invitations to an account",
        paged=True,
        example=examples.INVITATION,
        tag="members",
    )
    def get(self, request: Request, account_ref: UUID) -> Response:
        """Newest first, also those that were accepted or taken back."""
        account = self.find(Account, account_ref)
        rows = invitations.with_standing(Invitation.objects.filter(account=account))
        return self.page(rows, InvitationOut, filters={"account": account.pk})

    @documented(
        "invitations_send",
        InvitationOut,
        summary="Invite somebody to an account by mail",
        request=InvitationIn,
        status=201,
        command=True,
        example=examples.INVITATION,
        request_example={"email": "vera@lindgren.example", "role": "viewer"},
        tag="members",
    )
    def post(self, request: Request, account_ref: UUID) -> Response:
        """The link is in the mail alone. 422 for an address that has a role here, 429 past the limits."""
        account = self.find(Account, account_ref)
        data = self.read(InvitationIn)
        return self.once(
            lambda: self.show(
                InvitationOut, invitations.invite(account, actor=self.user, **data), status=201
            ),
            required=True,
        )


class InvitationApi(PortalAPIView):
    """One invitation to an account."""

    permission = Permission.MEMBER_EDIT

    @documented(
        "invitations_read",
        InvitationOut,
        summary="Read one invitation",
        example=examples.INVITATION,
        tag="members",
    )
    def get(self, request: Request, invitation_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(InvitationOut, self.find(_INVITATIONS, invitation_ref))

    @documented(
        "invitations_revoke",
        InvitationOut,
        summary="Take an invitation back",
        if_match=True,
        example={**examples.INVITATION, "state": "revoked", "revoked_at": examples.AT},
        tag="members",
    )
    def delete(self, request: Request, invitation_ref: UUID) -> Response:
        """Its link opens nothing from then on. 409 if it was accepted."""
        return _revoke(self, self.find(_INVITATIONS, invitation_ref))


class InvitationSendApi(PortalAPIView):
    """Send an invitation to an account again."""

    permission = Permission.MEMBER_EDIT

    @documented(
        "invitations_send_again",
        InvitationOut,
        summary="Send an invitation again, with a new link",
        command=True,
        example=examples.INVITATION,
        tag="members",
    )
    def post(self, request: Request, invitation_ref: UUID) -> Response:
        """The link of the old mail ends. It is in your name from then on."""
        return _send_again(self, self.find(_INVITATIONS, invitation_ref))


def _revoke(view: PortalAPIView, invitation: Invitation) -> Response:
    def effect() -> Response:
        view.match(invitations.lock(invitation)[1])
        invitations.revoke(invitation, actor=view.user)
        return view.show(InvitationOut, _INVITATIONS.get(pk=invitation.pk))

    return view.once(effect)


def _send_again(view: PortalAPIView, invitation: Invitation) -> Response:
    def effect() -> Response:
        invitations.send_again(invitation, actor=view.user)
        return view.show(InvitationOut, _INVITATIONS.get(pk=invitation.pk))

    return view.once(effect, required=True)


class JoinApi(PortalAPIView):
    """Accept an invitation."""

    permission = Permission.PUBLIC

    @documented(
        "invitations_accept",
        JoinedOut,
        summary="Accept an invitation with the token of its link",
        request=JoinIn,
        status=201,
        example=examples.JOINED,
        request_example={"token": "ssi_…", "name": "Vera Holm", "password": "quite-a-few-words"},
        tag="members",
    )
    def post(self, request: Request) -> Response:
        """As whoever is signed in, with that address; else as somebody new, with name and password. One answer
        (422, `invitation-gone`) for every token that opens nothing."""
        data = self.read(JoinIn)
        now = timezone.now()
        if request.user.is_authenticated:
            self.check_scope(Permission.SIGNED_IN)
            invitations.accept_as(self.user, data["token"], now=now)
        elif data.get("name") and data.get("password"):
            invitations.accept_as_new(data["token"], name=data["name"], password=data["password"], now=now)
        elif invitations.invitation_of(data["token"], now=now) is None:
            raise invitations.InvitationGone
        else:
            raise NotAuthenticated("Sign in with the invited address, or send `name` and `password`.")
        accepted = _INVITATIONS.get(digest=invitations.digest_of(data["token"]))
        place = {"account": accepted.account, "team": accepted.team, "role": accepted.role}
        return Response(JoinedOut(place).data, status=201)


# --- teams -------------------------------------------------------------------------------------------------


class TeamListApi(PortalAPIView):
    """Teams that you are in."""

    permission = Permission.SIGNED_IN

    @documented(
        "teams_list",
        TeamOut,
        summary="List the teams that you are in",
        paged=True,
        example=examples.TEAM_OUT,
        tag="teams",
    )
    def get(self, request: Request) -> Response:
        """By name."""
        return self.page(seen_by_team(self.user, Team), TeamOut, order="name")


class TeamApi(PortalAPIView):
    """One team."""

    permission = Permission.TEAM_VIEW

    @documented("teams_read", TeamOut, summary="Read one team", example=examples.TEAM_OUT, tag="teams")
    def get(self, request: Request, team_ref: UUID) -> Response:
        """Its name."""
        return self.show(TeamOut, self.find_in_team(Team, team_ref))


class TeamAccountsApi(PortalAPIView):
    """Open an account for a customer of a team."""

    permission = Permission.ACCOUNT_EDIT

    @documented(
        "accounts_open",
        AccountOut,
        summary="Open an account",
        request=AccountOpenIn,
        status=201,
        once=True,
        example=examples.ACCOUNT,
        request_example={"name": "Lindgren Outdoor", "number": "482113"},
        tag="accounts",
    )
    def post(self, request: Request, team_ref: UUID) -> Response:
        """A lead of the team then invites the account's first admin."""
        team = self.find_in_team(Team, team_ref)
        data = self.read(AccountOpenIn)

        def effect() -> Response:
            made = services.open_account(team=team, actor=self.user, **data)
            return self.show(AccountOut, made, status=201)

        return self.once(effect)


class TeamMemberListApi(PortalAPIView):
    """A team's members."""

    permission = Permission.TEAM_VIEW

    @documented(
        "team_members_list",
        TeamMemberOut,
        summary="List who is in a team",
        paged=True,
        example=examples.TEAM_MEMBER,
        tag="teams",
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """Newest first. Addresses, log-ins and second factors only for leads."""
        team = self.find_in_team(Team, team_ref)
        return self.page(_TEAM_MEMBERS.filter(team=team), TeamMemberOut, filters={"team": team.pk})


class TeamMemberApi(PortalAPIView):
    """One of a team."""

    permission = Permission.TEAM_VIEW
    write_permission = Permission.TEAM_EDIT

    @documented(
        "team_members_read",
        TeamMemberOut,
        summary="Read one of a team",
        example=examples.TEAM_MEMBER,
        tag="teams",
    )
    def get(self, request: Request, team_member_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(TeamMemberOut, self.find_in_team(_TEAM_MEMBERS, team_member_ref))

    @documented(
        "team_members_change",
        TeamMemberOut,
        summary="Change a role in a team",
        request=TeamRoleIn,
        if_match=True,
        example=examples.TEAM_MEMBER,
        request_example={"role": "lead"},
        tag="teams",
    )
    def patch(self, request: Request, team_member_ref: UUID) -> Response:
        """Counts at once. The last lead stays one."""
        member = self.find_in_team(_TEAM_MEMBERS, team_member_ref)
        role = self.read(TeamRoleIn)["role"]

        def effect() -> Response:
            members.lock_team(member.team)
            self.match(TeamMembership.objects.get(pk=member.pk))
            members.add_to_team(member.team, member.user, role, actor=self.user)
            return self.show(TeamMemberOut, _TEAM_MEMBERS.get(pk=member.pk))

        return self.once(effect)

    @documented(
        "team_members_remove",
        None,
        summary="Take somebody out of a team",
        status=204,
        if_match=True,
        tag="teams",
    )
    def delete(self, request: Request, team_member_ref: UUID) -> Response:
        """At once, from all accounts of the team. The last lead stays."""
        member = self.find_in_team(_TEAM_MEMBERS, team_member_ref)

        def effect() -> Response:
            members.lock_team(member.team)
            self.match(TeamMembership.objects.get(pk=member.pk))
            members.remove_from_team(member.team, member.user, actor=self.user)
            return Response(status=204)

        return self.once(effect)


class TeamLeaveApi(PortalAPIView):
    """Leave a team."""

    permission = Permission.TEAM_VIEW

    @documented("team_members_leave", None, summary="Leave a team", status=204, command=True, tag="teams")
    def post(self, request: Request, team_ref: UUID) -> Response:
        """At once. The last lead stays."""
        self.check_scope(Permission.TEAM_EDIT)
        team = self.find_in_team(Team, team_ref)

        def effect() -> Response:
            members.remove_from_team(team, self.user, actor=self.user)
            return Response(status=204)

        return self.once(effect, required=True)


class TeamSwitchOffApi(PortalAPIView):
    """Switch a log-in off."""

    permission = Permission.TEAM_EDIT

    @documented(
        "team_members_switch_off",
        TeamMemberOut,
        summary="Switch off the log-in of somebody who is of your teams alone",
        request=RecordedReasonIn,
        command=True,
        example={**examples.TEAM_MEMBER, "is_active": False},
        request_example={"reason": "Left the company."},
        tag="teams",
    )
    def post(self, request: Request, team_member_ref: UUID) -> Response:
        """Sessions, tokens and live views end at once; what rests on their approval is paused."""
        member = self.find_in_team(_TEAM_MEMBERS, team_member_ref)
        reason = self.read(RecordedReasonIn)["reason"]

        def effect() -> Response:
            members.deactivate_user(member.user, actor=self.user, reason=reason)
            return self.show(TeamMemberOut, _TEAM_MEMBERS.get(pk=member.pk))

        return self.once(effect, required=True)


class TeamInvitationListApi(PortalAPIView):
    """Invitations to a team."""

    permission = Permission.TEAM_EDIT

    @documented(
        "team_invitations_list",
        InvitationOut,
        summary="List invitations to a team",
        paged=True,
        example={**examples.INVITATION, "role": "launch_manager"},
        tag="teams",
    )
    def get(self, request: Request, team_ref: UUID) -> Response:
        """Newest first, also those that were accepted or taken back."""
        team = self.find_in_team(Team, team_ref)
        rows = invitations.with_standing(Invitation.objects.filter(team=team))
        return self.page(rows, InvitationOut, filters={"team": team.pk})

    @documented(
        "team_invitations_send",
        InvitationOut,
        summary="Invite somebody to a team by mail",
        request=TeamInvitationIn,
        status=201,
        command=True,
        example={**examples.INVITATION, "role": "launch_manager"},
        request_example={"email": "jonas@north.example", "role": "launch_manager"},
        tag="teams",
    )
    def post(self, request: Request, team_ref: UUID) -> Response:
        """The link is in the mail alone. 422 for an address that is in the team, 429 past the limits."""
        team = self.find_in_team(Team, team_ref)
        data = self.read(TeamInvitationIn)
        return self.once(
            lambda: self.show(InvitationOut, invitations.invite(team, actor=self.user, **data), status=201),
            required=True,
        )


class TeamInvitationApi(PortalAPIView):
    """One invitation to a team."""

    permission = Permission.TEAM_EDIT

    @documented(
        "team_invitations_read",
        InvitationOut,
        summary="Read one invitation to a team",
        example={**examples.INVITATION, "role": "launch_manager"},
        tag="teams",
    )
    def get(self, request: Request, team_invitation_ref: UUID) -> Response:
        """With an ETag for a later change."""
        return self.show(InvitationOut, self.find_in_team(_INVITATIONS, team_invitation_ref))

    @documented(
        "team_invitations_revoke",
        InvitationOut,
        summary="Take an invitation to a team back",
        if_match=True,
        example={**examples.INVITATION, "state": "revoked", "revoked_at": examples.AT},
        tag="teams",
    )
    def delete(self, request: Request, team_invitation_ref: UUID) -> Response:
        """Its link opens nothing from then on. 409 if it was accepted."""
        return _revoke(self, self.find_in_team(_INVITATIONS, team_invitation_ref))


class TeamInvitationSendApi(PortalAPIView):
    """Send an invitation to a team again."""

    permission = Permission.TEAM_EDIT

    @documented(
        "team_invitations_send_again",
        InvitationOut,
        summary="Send an invitation to a team again, with a new link",
        command=True,
        example={**examples.INVITATION, "role": "launch_manager"},
        tag="teams",
    )
    def post(self, request: Request, team_invitation_ref: UUID) -> Response:
        """The link of the old mail ends. It is in your name from then on."""
        return _send_again(self, self.find_in_team(_INVITATIONS, team_invitation_ref))


# --- the end of an account ---------------------------------------------------------------------------------


class _Status(PortalAPIView, abstract=True):
    def act(self, account: Account, reason: str) -> Account:
        """Do it; raises Refused."""
        raise NotImplementedError

    def post(self, request: Request, account_ref: UUID) -> Response:
        """Read, act, answer."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        reason = self.read(RecordedReasonIn)["reason"]

        def effect() -> Response:
            self.act(account, reason)
            return self.show(AccountOut, Account.objects.select_related("team").get(pk=account.pk))

        return self.once(effect, required=True)


def _status_doc(operation: str, summary: str, status: str) -> Any:
    return documented(
        operation,
        AccountOut,
        summary=summary,
        request=RecordedReasonIn,
        command=True,
        example={**examples.ACCOUNT, "status": status},
        request_example=_GONE_EXAMPLE,
        tag="accounts",
    )


class AccountArchiveApi(_Status):
    """Archive an account."""

    permission = Permission.ACCOUNT_ARCHIVE

    def act(self, account: Account, reason: str) -> Account:
        """Archive it."""
        return services.archive_account(account, reason=reason, actor=self.user)

    @_status_doc("accounts_archive", "Archive an account: from then on it is read, not changed", "archived")
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Refused (422) while a run is open."""
        return super().post(request, account_ref)


class AccountReopenApi(_Status):
    """Open an archived account again."""

    permission = Permission.ACCOUNT_ARCHIVE

    def act(self, account: Account, reason: str) -> Account:
        """Open it."""
        return services.reopen_account(account, reason=reason, actor=self.user)

    @_status_doc("accounts_reopen", "Open an archived account again", "active")
    def post(self, request: Request, account_ref: UUID) -> Response:
        """Its people have the roles that they had."""
        return super().post(request, account_ref)
