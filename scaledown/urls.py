"""Addresses of the pages of scale-down: plans, runs, records, protected servers, standstills."""

from __future__ import annotations

from django.urls import path

from scaledown import views

app_name = "scaledown"
urlpatterns = [
    path("accounts/<uuid:account_ref>/scaledown/", views.PlanList.as_view(), name="plan-list"),
    path("accounts/<uuid:account_ref>/scaledown/new/", views.PlanNew.as_view(), name="plan-new"),
    path("accounts/<uuid:account_ref>/scaledown/records/", views.RecordList.as_view(), name="record-list"),
    path("accounts/<uuid:account_ref>/scaledown/protected/", views.Protected.as_view(), name="protected"),
    path("accounts/<uuid:account_ref>/scaledown/costs/", views.EventCosts.as_view(), name="costs"),
    path(
        "accounts/<uuid:account_ref>/scaledown/costs/servers.csv",
        views.EventCostsCsv.as_view(),
        name="cost-csv",
    ),
    path("accounts/<uuid:account_ref>/standstill/", views.StandstillPage.as_view(), name="standstill"),
    path(
        "accounts/<uuid:account_ref>/standstill/lift/", views.StandstillLift.as_view(), name="standstill-lift"
    ),
    path("scaledown/events/<uuid:event_ref>/record/", views.RecordDetail.as_view(), name="record-detail"),
    path("scaledown/protected/<uuid:mark_ref>/lift/", views.ProtectedLift.as_view(), name="protected-lift"),
    path("scaledown/<uuid:plan_ref>/", views.PlanDetail.as_view(), name="plan-detail"),
    path("scaledown/<uuid:plan_ref>/draw-up/what-for/", views.PlanPurpose.as_view(), name="plan-purpose"),
    path("scaledown/<uuid:plan_ref>/draw-up/pool/", views.PlanPool.as_view(), name="plan-pool"),
    path("scaledown/<uuid:plan_ref>/draw-up/safety/", views.PlanSafety.as_view(), name="plan-safety"),
    path("scaledown/<uuid:plan_ref>/draw-up/preview/", views.PlanPreview.as_view(), name="plan-preview"),
    path("scaledown/<uuid:plan_ref>/draw-up/approvals/", views.PlanSubmit.as_view(), name="plan-submit"),
    path("scaledown/<uuid:plan_ref>/approve/", views.PlanApprove.as_view(), name="plan-approve"),
    path("scaledown/<uuid:plan_ref>/reject/", views.PlanReject.as_view(), name="plan-reject"),
    path("scaledown/<uuid:plan_ref>/start/", views.PlanStart.as_view(), name="plan-start"),
    path("scaledown/<uuid:plan_ref>/rehearse/", views.PlanRehearse.as_view(), name="plan-rehearse"),
    path("scaledown/<uuid:plan_ref>/less/", views.PlanLess.as_view(), name="plan-less"),
    path("scaledown/<uuid:plan_ref>/withdraw/", views.PlanVoid.as_view(), name="plan-void"),
    path("scaledown/<uuid:plan_ref>/copy/", views.PlanCopy.as_view(), name="plan-copy"),
    path("scaledown/runs/<uuid:run_ref>/", views.RunDetail.as_view(), name="run-detail"),
    path("scaledown/runs/<uuid:run_ref>/stream/", views.RunStream.as_view(), name="run-stream"),
    path("scaledown/runs/<uuid:run_ref>/journal/", views.RunJournal.as_view(), name="run-journal"),
    path("scaledown/runs/<uuid:run_ref>/charge/", views.RunCharge.as_view(), name="run-charge"),
    path("scaledown/handovers/<uuid:handover_ref>/", views.HandoverAnswer.as_view(), name="handover-answer"),
    path(
        "scaledown/runs/<uuid:run_ref>/commands/<slug:name>/",
        views.RunCommandPage.as_view(),
        name="run-command",
    ),
    path("scaledown/runs/<uuid:run_ref>/grow/", views.RunGrow.as_view(), name="run-grow"),
    path("scaledown/growths/<uuid:growth_ref>/", views.GrowthDetail.as_view(), name="growth"),
    path(
        "scaledown/growths/<uuid:growth_ref>/approve/", views.GrowthApprove.as_view(), name="growth-approve"
    ),
    path("scaledown/growths/<uuid:growth_ref>/reject/", views.GrowthReject.as_view(), name="growth-reject"),
    path(
        "scaledown/growths/<uuid:growth_ref>/withdraw/",
        views.GrowthWithdraw.as_view(),
        name="growth-withdraw",
    ),
    path("scaledown/runs/<uuid:run_ref>/report/", views.RunReport.as_view(), name="run-report"),
    path("scaledown/runs/<uuid:run_ref>/report/lessons/", views.RunLesson.as_view(), name="run-lesson"),
]
