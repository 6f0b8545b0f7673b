"""Addresses of what is known of a pool."""

from __future__ import annotations

from django.urls import path

from capacity import views
from capacity.baselines import views as baselines
from capacity.benchmarks import views as benchmarks
from capacity.hosts import views as hosts
from capacity.loads import views as loads
from capacity.markers import views as markers
from capacity.metrics import views as metrics
from capacity.pulls import views as pulls
from capacity.reports import views as reports

app_name = "capacity"
urlpatterns = [
    path("accounts/<uuid:account_ref>/baselines/", baselines.BaselineList.as_view(), name="baseline-list"),
    path(
        "accounts/<uuid:account_ref>/baselines/propose/",
        baselines.SeriesPropose.as_view(),
        name="baseline-propose",
    ),
    path("baselines/<uuid:baseline_ref>/", baselines.BaselineDetail.as_view(), name="baseline"),
    path(
        "baselines/<uuid:baseline_ref>/approve/",
        baselines.BaselineApprove.as_view(),
        name="baseline-approve",
    ),
    path("baselines/<uuid:baseline_ref>/reject/", baselines.BaselineReject.as_view(), name="baseline-reject"),
    path(
        "baselines/<uuid:baseline_ref>/withdraw/",
        baselines.BaselineWithdraw.as_view(),
        name="baseline-withdraw",
    ),
    path(
        "benchmarks/<uuid:benchmark_ref>/propose/",
        baselines.BenchmarkPropose.as_view(),
        name="benchmark-propose",
    ),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/ceiling/",
        baselines.CeilingPage.as_view(),
        name="ceiling",
    ),
    path(
        "accounts/<uuid:account_ref>/benchmarks/", benchmarks.BenchmarkList.as_view(), name="benchmark-list"
    ),
    path("benchmarks/<uuid:benchmark_ref>/", benchmarks.BenchmarkDetail.as_view(), name="benchmark"),
    path("accounts/<uuid:account_ref>/metrics/fetched/", pulls.PullList.as_view(), name="pull-list"),
    path(
        "accounts/<uuid:account_ref>/metrics/fetched/monitoring/",
        pulls.PullChoose.as_view(),
        name="pull-choose",
    ),
    path("pulls/<uuid:pull_ref>/", pulls.PullAct.as_view(), name="pull-act"),
    path("accounts/<uuid:account_ref>/hosts/", hosts.HostList.as_view(), name="host-list"),
    path("accounts/<uuid:account_ref>/loads/", loads.ProfileList.as_view(), name="profile-list"),
    path("accounts/<uuid:account_ref>/loads/new/", loads.ProfileNew.as_view(), name="profile-new"),
    path("loads/profiles/<uuid:profile_ref>/", loads.ProfileDetail.as_view(), name="profile"),
    path("loads/profiles/<uuid:profile_ref>/change/", loads.ProfileEdit.as_view(), name="profile-edit"),
    path("loads/profiles/<uuid:profile_ref>/submit/", loads.ProfileSubmit.as_view(), name="profile-submit"),
    path(
        "loads/profiles/<uuid:profile_ref>/approve/", loads.ProfileApprove.as_view(), name="profile-approve"
    ),
    path("loads/profiles/<uuid:profile_ref>/reject/", loads.ProfileReject.as_view(), name="profile-reject"),
    path(
        "loads/profiles/<uuid:profile_ref>/withdraw/",
        loads.ProfileWithdraw.as_view(),
        name="profile-withdraw",
    ),
    path("loads/profiles/<uuid:profile_ref>/start/", loads.ProfileStart.as_view(), name="profile-start"),
    path("loads/runs/<uuid:load_ref>/", loads.LoadDetail.as_view(), name="load"),
    path("loads/runs/<uuid:load_ref>/stream/", loads.LoadStream.as_view(), name="load-stream"),
    path("loads/runs/<uuid:load_ref>/abort/", loads.LoadAbort.as_view(), name="load-abort"),
    path("hosts/<uuid:host_ref>/", hosts.HostAct.as_view(), name="host-act"),
    path("accounts/<uuid:account_ref>/changes/", markers.MarkerList.as_view(), name="marker-list"),
    path(
        "benchmarks/<uuid:benchmark_ref>/set-aside/",
        benchmarks.BenchmarkAside.as_view(),
        name="benchmark-aside",
    ),
    path(
        "benchmarks/<uuid:benchmark_ref>/file/", benchmarks.BenchmarkFileView.as_view(), name="benchmark-file"
    ),
    path("accounts/<uuid:account_ref>/metrics/", metrics.MetricList.as_view(), name="metric-list"),
    path("capacity/metrics/<uuid:metric_ref>/", metrics.MetricDetail.as_view(), name="metric"),
    path("capacity/metrics/<uuid:metric_ref>/data/", metrics.MetricData.as_view(), name="metric-data"),
    path("capacity/metrics/<uuid:metric_ref>/vital/", metrics.MetricVital.as_view(), name="metric-vital"),
    path("capacity/metrics/<uuid:metric_ref>/series.csv", metrics.MetricCsv.as_view(), name="metric-csv"),
    path("accounts/<uuid:account_ref>/growth/", reports.GrowthOverview.as_view(), name="growth-overview"),
    path("accounts/<uuid:account_ref>/growth/events/", reports.DetectedList.as_view(), name="detected-list"),
    path("capacity/traffic-events/<uuid:event_ref>/", views.EventPage.as_view(), name="traffic-event"),
    path(
        "capacity/traffic-events/<uuid:event_ref>/call-off/",
        views.EventRemove.as_view(),
        name="traffic-event-remove",
    ),
    path("accounts/<uuid:account_ref>/growth/prices/", reports.Prices.as_view(), name="prices"),
    path("capacity/prices/<uuid:price_ref>/remove/", reports.PriceRemove.as_view(), name="price-remove"),
    path("capacity/events/<uuid:detected_ref>/", reports.DetectedPage.as_view(), name="detected"),
    path("capacity/pools/<uuid:pool_ref>/", reports.SizedPoolPage.as_view(), name="sized-pool"),
    path("capacity/pools/<uuid:pool_ref>/what-if/", reports.WhatIfPage.as_view(), name="what-if"),
    path("capacity/pools/<uuid:pool_ref>/look/", reports.SizedPoolLook.as_view(), name="sized-pool-look"),
    path(
        "capacity/pools/<uuid:pool_ref>/remove/", reports.SizedPoolRemove.as_view(), name="sized-pool-remove"
    ),
    path("capacity/metrics/<uuid:metric_ref>/growth/", reports.GrowthAsk.as_view(), name="growth-ask"),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/",
        views.PoolKnown.as_view(),
        name="pool-known",
    ),
]
