"""The same tables served by what one writes in ten minutes: plain ModelViewSets with the framework's own means.

Page numbers, `icontains`, the framework's serializers; the same rows limited to the same team. It is measured
beside the portal and is no part of it.
"""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from rest_framework.authentication import SessionAuthentication
from rest_framework.filters import SearchFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from accounts.models import Account, Contact
from portal.audit.models import AuditEntry


class Pages(PageNumberPagination):
    """As the framework's guide has it, with pages as long as the portal's."""

    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 200


class AccountPeer(ModelSerializer[Account]):
    """All fields."""

    class Meta:
        model = Account
        fields = "__all__"


class ContactPeer(ModelSerializer[Contact]):
    """All fields."""

    class Meta:
        model = Contact
        fields = "__all__"


class EntryPeer(ModelSerializer[AuditEntry]):
    """All fields."""

    class Meta:
        model = AuditEntry
        fields = "__all__"


class _Plain(ModelViewSet[Any]):
    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAuthenticated]
    pagination_class = Pages
    filter_backends = [SearchFilter]
    renderer_classes = [JSONRenderer]


class Accounts(_Plain):
    """The team's accounts by name."""

    serializer_class = AccountPeer
    search_fields = ["name", "number"]

    def get_queryset(self) -> Any:
        """Those of the user's teams."""
        return Account.objects.filter(team__memberships__user=self.request.user.pk).order_by("name", "pk")


class Contacts(_Plain):
    """One account's contacts in their order."""

    serializer_class = ContactPeer
    search_fields = ["name", "email", "phone"]

    def get_queryset(self) -> Any:
        """Those of the account in the address, if it is of the user's teams."""
        rows = Contact.objects.filter(account__team__memberships__user=self.request.user.pk)
        return rows.filter(account__ref=self.kwargs["account_ref"]).order_by("escalation_order", "pk")


class Entries(_Plain):
    """One account's audit, newest first."""

    serializer_class = EntryPeer
    search_fields = ["what"]

    def get_queryset(self) -> Any:
        """Those of the account in the address."""
        return AuditEntry.objects.filter(account_ref=self.kwargs["account_ref"]).order_by("-id")


_router = DefaultRouter()
_router.register("accounts", Accounts, basename="peer-accounts")
_router.register(r"accounts/(?P<account_ref>[^/.]+)/contacts", Contacts, basename="peer-contacts")
_router.register(r"accounts/(?P<account_ref>[^/.]+)/audit", Entries, basename="peer-audit")

urlpatterns = [path("peer/", include(_router.urls)), path("", include("portal.urls"))]
