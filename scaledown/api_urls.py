"""The addresses of scale-down's API, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from scaledown import api, api_around, api_charge, api_costs, api_growths, api_runs

urlpatterns = [
    path(
        "accounts/<uuid:account_ref>/scale-up-records",
        api_around.RecordListApi.as_view(),
        name="api-scale-up-records",
    ),
    path(
        "accounts/<uuid:account_ref>/scale-up-records/reconstruct",
        api_around.ReconstructApi.as_view(),
        name="api-scale-up-reconstruct",
    ),
    path("scale-up-records/<uuid:record_ref>", api_around.RecordApi.as_view(), name="api-scale-up-record"),
    path(
        "accounts/<uuid:account_ref>/event-costs",
        api_costs.EventCostListApi.as_view(),
        name="api-event-costs",
    ),
    path("accounts/<uuid:account_ref>/plans", api.PlanListApi.as_view(), name="api-plans"),
    path("plans/<uuid:plan_ref>", api.PlanApi.as_view(), name="api-plan"),
    path("plans/<uuid:plan_ref>/preview", api.PlanPreviewApi.as_view(), name="api-plan-preview"),
    path("plans/<uuid:plan_ref>/submit", api.PlanSubmitApi.as_view(), name="api-plan-submit"),
    path("plans/<uuid:plan_ref>/approve", api.PlanApproveApi.as_view(), name="api-plan-approve"),
    path("plans/<uuid:plan_ref>/reject", api.PlanRejectApi.as_view(), name="api-plan-reject"),
    path("plans/<uuid:plan_ref>/less", api.PlanLessApi.as_view(), name="api-plan-less"),
    path("plans/<uuid:plan_ref>/void", api.PlanVoidApi.as_view(), name="api-plan-void"),
    path("plans/<uuid:plan_ref>/copy", api.PlanCopyApi.as_view(), name="api-plan-copy"),
    path("plans/<uuid:plan_ref>/runs", api.PlanStartApi.as_view(), name="api-plan-start"),
    path("plans/<uuid:plan_ref>/rehearsals", api.PlanRehearseApi.as_view(), name="api-plan-rehearse"),
    path("runs", api_runs.RunListApi.as_view(), name="api-runs"),
    path("accounts/<uuid:account_ref>/runs", api_runs.AccountRunListApi.as_view(), name="api-account-runs"),
    path("runs/<uuid:run_ref>", api_runs.RunApi.as_view(), name="api-run"),
    path("runs/<uuid:run_ref>/commands", api_runs.RunCommandsApi.as_view(), name="api-run-commands"),
    path("runs/<uuid:run_ref>/charge", api_charge.RunChargeApi.as_view(), name="api-run-charge"),
    path(
        "runs/<uuid:run_ref>/charge/until",
        api_charge.RunChargeUntilApi.as_view(),
        name="api-run-charge-until",
    ),
    path("runs/<uuid:run_ref>/backup", api_charge.RunBackupApi.as_view(), name="api-run-backup"),
    path("runs/<uuid:run_ref>/backup/end", api_charge.RunBackupEndApi.as_view(), name="api-run-backup-end"),
    path("runs/<uuid:run_ref>/handovers", api_charge.RunHandoversApi.as_view(), name="api-run-handovers"),
    path("handovers/<uuid:handover_ref>", api_charge.HandoverApi.as_view(), name="api-handover"),
    path(
        "handovers/<uuid:handover_ref>/accept",
        api_charge.HandoverAcceptApi.as_view(),
        name="api-handover-accept",
    ),
    path(
        "handovers/<uuid:handover_ref>/decline",
        api_charge.HandoverDeclineApi.as_view(),
        name="api-handover-decline",
    ),
    path(
        "handovers/<uuid:handover_ref>/withdraw",
        api_charge.HandoverWithdrawApi.as_view(),
        name="api-handover-withdraw",
    ),
    path("runs/<uuid:run_ref>/growths", api_growths.RunGrowthsApi.as_view(), name="api-run-growths"),
    path("growths/<uuid:growth_ref>", api_growths.GrowthApi.as_view(), name="api-growth"),
    path(
        "growths/<uuid:growth_ref>/withdraw",
        api_growths.GrowthWithdrawApi.as_view(),
        name="api-growth-withdraw",
    ),
    path("runs/<uuid:run_ref>/journal", api_runs.RunJournalApi.as_view(), name="api-run-journal"),
    path("runs/<uuid:run_ref>/samples", api_runs.RunSamplesApi.as_view(), name="api-run-samples"),
    path("runs/<uuid:run_ref>/events", api_runs.RunEventsApi.as_view(), name="api-run-events"),
    path("runs/<uuid:run_ref>/report", api_runs.RunReportApi.as_view(), name="api-run-report"),
    path("runs/<uuid:run_ref>/lessons", api_runs.RunLessonsApi.as_view(), name="api-run-lessons"),
    path(
        "accounts/<uuid:account_ref>/protected-servers",
        api_around.ProtectedListApi.as_view(),
        name="api-protected-servers",
    ),
    path(
        "protected-servers/<uuid:mark_ref>/lift",
        api_around.ProtectedLiftApi.as_view(),
        name="api-protected-server-lift",
    ),
    path(
        "accounts/<uuid:account_ref>/standstills",
        api_around.StandstillListApi.as_view(),
        name="api-standstills",
    ),
    path(
        "standstills/<uuid:standstill_ref>/lift",
        api_around.StandstillLiftApi.as_view(),
        name="api-standstill-lift",
    ),
]
