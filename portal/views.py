"""Pages that belong to no app: dashboard, health, metrics, and what is shown when something is refused."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.defaults import page_not_found as default_page_not_found
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from portal.access import Guard, Permission, PortalView, can, keep_nothing, lacks_second_factor
from portal.dashboard import panels_for
from portal.gauges import installation
from portal.health import findings
from portal.middleware import is_here
from portal.palette import find as find_places
from portal.problems import problem_response


class Dashboard(PortalView):
    """What needs a person first, then what runs, then the accounts."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the panels that have something to say to this user."""
        panels = [
            {
                "key": panel.key,
                "title": panel.title,
                "html": render_to_string(panel.template, context, request),
            }
            for panel, context in panels_for(request.user)
        ]
        is_operator = can(request.user, Permission.OPERATE)
        return self.render(
            "dashboard.html",
            panels=panels,
            lede="Whether the installation does its work. Accounts are not shown to operators."
            if is_operator
            else "What needs a person first, then what runs, then the accounts.",
            nav_key="dashboard",
        )


class Palette(PortalView):
    """What the command palette finds by name, among what the user may see."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> JsonResponse:
        """Answer `{"items": [{"label", "url", "hint"}]}` for what was typed (`q`)."""
        found = find_places(request.user, request.GET.get("q", ""))
        return JsonResponse({"items": [asdict(one) for one in found]})


class Alive(PortalView):
    """Answers while the process lives; asks nothing of anything else."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        """Say so."""
        return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


class Ready(PortalView):
    """Whether the portal can do its work; names no account and no run."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> JsonResponse:
        """Answer 200 when everything is well, else 503 with a sentence for each thing."""
        found = findings()
        ready = all(one.ok for one in found)
        return JsonResponse(
            {"ready": ready, **{one.name: {"ok": one.ok, "says": one.says} for one in found}},
            status=200 if ready else 503,
        )


class Metrics(PortalView):
    """Prometheus metrics, for an operator or for a scraper on the same machine."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Give the metrics, or refuse; strangers learn nothing but that."""
        if not is_here(request):
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not getattr(request.user, "is_operator", False):
                self.refuse(Permission.OPERATE)
            if lacks_second_factor(request.user):
                return redirect(settings.SECOND_FACTOR_URL)
        return HttpResponse(generate_latest() + installation(), content_type=CONTENT_TYPE_LATEST)


@cache
def _document(written: str) -> str | bytes:
    renderer = {"yaml": OpenApiYamlRenderer, "json": OpenApiJsonRenderer}[written]()
    shown = Schema.generator_class().get_schema(request=None, public=True)
    return renderer.render(shown, renderer.media_type, {})


class Schema(Guard, SpectacularAPIView):
    """The OpenAPI document, the same for everybody: made once by each process, as it takes more than a second."""

    permission = Permission.PUBLIC
    authentication_classes: Any = []

    @extend_schema(exclude=True)
    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Give it in the format that was asked for, YAML if none was."""
        renderer = type(request.accepted_renderer)
        called = f"{settings.SPECTACULAR_SETTINGS['TITLE']}.{renderer.format}"
        return HttpResponse(
            _document(renderer.format),
            # JSON is UTF-8 by itself (RFC 8259).
            content_type=f"{renderer.media_type}; charset={renderer.charset}"
            if renderer.charset
            else renderer.media_type,
            headers={"Content-Disposition": f'inline; filename="{called}"'},
        )


class Docs(Guard, SpectacularSwaggerSplitView):
    """The OpenAPI document to read and to try out."""

    permission = Permission.PUBLIC
    authentication_classes: Any = []
    url_name = "api-schema"
    template_name = "api_docs.html"


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _unkept(response: HttpResponse) -> HttpResponse:
    # The frame of these pages names who is logged in.
    keep_nothing(response)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that a form came from elsewhere or too late; nothing was changed."""
    if _is_api(request):
        return problem_response(
            request, 403, "The CSRF token is missing or out of date. Nothing was changed."
        )
    return _unkept(render(request, "403_csrf.html", status=403))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, as a page or a problem document."""
    if _is_api(request):
        return problem_response(request, 400, "This request could not be read.")
    return _unkept(render(request, "errors/400.html", status=400))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, with the sentence of whoever refused."""
    if _is_api(request):
        return problem_response(request, 403, str(exception) or "You may not do this here.")
    return _unkept(render(request, "errors/403.html", {"refusal": str(exception)}, status=403))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, as a page or a problem document."""
    if _is_api(request):
        return problem_response(request, 404, "There is nothing here that you can see.")
    return _unkept(default_page_not_found(request, exception, template_name="errors/404.html"))


def server_error(request: HttpRequest) -> HttpResponse:
    """500: says what is true, asks nothing of what may be broken."""
    if _is_api(request):
        return problem_response(
            request, 500, "A fault on our side. It has been recorded; read before you repeat."
        )
    html = render_to_string("errors/500.html", {"request_id": getattr(request, "request_id", "")})
    return HttpResponse(html, status=500)
