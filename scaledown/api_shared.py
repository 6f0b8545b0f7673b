"""What the views of the API of scale-down share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from portal.api import PortalAPIView, etag_of
from portal.errors import Refused
from portal.lists import ListAsked, order_parameter
from portal.runs.models import Run
from scaledown import serializers as shapes
from scaledown import services
from scaledown.live import live_run
from scaledown.models import Plan
from scaledown.selectors import plan_page

PLANS = Plan.objects.select_related("account", "connection", "event", "author")
STATUS = OpenApiParameter("status", OpenApiTypes.STR, description="Only those with this status.")
# Rows are numbered in the order in which they were made.
ORDERS = {"-created_at": "-id", "created_at": "id"}
TITLE = OpenApiParameter("q", OpenApiTypes.STR, description="Only those whose title holds this text.")
ORDER = order_parameter(tuple(ORDERS))
RUNS = Run.objects.filter(kind=services.KIND).select_related("account", "in_charge", "backup")


RUN_EXAMPLE = shapes.example_of(shapes.LiveRun)


class ScaledownView(PortalAPIView, abstract=True):
    """What the views of scale-down share."""

    def own(self, rows: Any, ref: UUID, what: str) -> Any:
        """Return a row of the account at hand that the body names; Refused (422) if there is none."""
        row = rows.filter(account=self.account, ref=ref).first()
        if row is None:
            raise Refused(f"This account has no {what} {ref}.", code="unknown_reference")
        return row

    def show_plan(self, plan: Plan, *, status: int = 200) -> Response:
        """Return a plan as its page shows it, with its ETag."""
        whole = PLANS.get(pk=plan.pk)
        page = plan_page(whole, viewer=self.user, granted=self.granted)
        data = shapes.PlanOut(page, context=self.out_context()).data
        return Response(self._thinned(data), status=status, headers={"ETag": etag_of(whole)})

    def show_run(self, run: Run, *, status: int = 200) -> Response:
        """Return a run as its live page shows it."""
        return self.show(shapes.RunOut, live_run(run, granted=self.granted), status=status)

    def listed(
        self, rows: QuerySet[Any], statuses: frozenset[str], shape: type[BaseSerializer[Any]]
    ) -> Response:
        """Return the page that the query asks for by `status`, `q` and `order`; Refused for an unknown value."""
        asked = ListAsked.of(
            self.request.query_params, filters={"status": statuses}, orders=tuple(ORDERS), strict=True
        )
        if asked.filters["status"]:
            rows = rows.filter(status=asked.filters["status"])
        if asked.text:
            rows = rows.filter(title__icontains=asked.text)
        return self.page(rows, shape, order=ORDERS[asked.order], filters=asked.filters)
