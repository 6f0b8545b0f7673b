"""The API's addresses for what is known of a pool, and for traffic events."""

from __future__ import annotations

from django.urls import path

from capacity import api
from capacity.baselines import api as baselines
from capacity.benchmarks import api as benchmarks
from capacity.hosts import api as hosts
from capacity.loads import api as loads
from capacity.markers import api as markers
from capacity.metrics import api as metrics
from capacity.pulls import api as pulls
from capacity.reports import api as reports

urlpatterns = [
    path("accounts/<uuid:account_ref>/baselines", baselines.BaselinesApi.as_view(), name="api-baselines"),
    path("baselines/<uuid:baseline_ref>", baselines.BaselineApi.as_view(), name="api-baseline"),
    path(
        "baselines/<uuid:baseline_ref>/comparisons",
        baselines.BaselineComparisonsApi.as_view(),
        name="api-baseline-comparisons",
    ),
    path(
        "baselines/<uuid:baseline_ref>/withdraw",
        baselines.BaselineWithdrawApi.as_view(),
        name="api-baseline-withdraw",
    ),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/ceiling",
        baselines.CeilingApi.as_view(),
        name="api-ceiling",
    ),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/limit",
        baselines.PoolLimitApi.as_view(),
        name="api-pool-limit",
    ),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>/limit/<str:limit_kind>",
        baselines.PoolLimitKindApi.as_view(),
        name="api-pool-limit-kind",
    ),
    path("accounts/<uuid:account_ref>/benchmarks", benchmarks.BenchmarksApi.as_view(), name="api-benchmarks"),
    path("benchmarks/<uuid:benchmark_ref>", benchmarks.BenchmarkApi.as_view(), name="api-benchmark"),
    path(
        "benchmarks/<uuid:benchmark_ref>/file",
        benchmarks.BenchmarkFileApi.as_view(),
        name="api-benchmark-file",
    ),
    path(
        "benchmarks/<uuid:benchmark_ref>/set-aside",
        benchmarks.BenchmarkAsideApi.as_view(),
        name="api-benchmark-aside",
    ),
    path(
        "benchmarks/<uuid:benchmark_ref>/count-again",
        benchmarks.BenchmarkCountApi.as_view(),
        name="api-benchmark-count",
    ),
    path(
        "connections/<uuid:connection_ref>/pools/<slug:balancer_id>",
        api.PoolKnownApi.as_view(),
        name="api-pool-known",
    ),
    path(
        "accounts/<uuid:account_ref>/traffic-events",
        api.TrafficEventListApi.as_view(),
        name="api-traffic-events",
    ),
    path("traffic-events/<uuid:event_ref>", api.TrafficEventApi.as_view(), name="api-traffic-event"),
    path("accounts/<uuid:account_ref>/pulls", pulls.PullListApi.as_view(), name="api-pulls"),
    path(
        "accounts/<uuid:account_ref>/pulls/monitoring",
        pulls.MonitoredPullApi.as_view(),
        name="api-pulls-monitoring",
    ),
    path("pulls/<uuid:pull_ref>", pulls.PullApi.as_view(), name="api-pull"),
    path("pulls/<uuid:pull_ref>/switch", pulls.PullSwitchApi.as_view(), name="api-pull-switch"),
    path("pulls/<uuid:pull_ref>/try", pulls.PullTryApi.as_view(), name="api-pull-try"),
    path("accounts/<uuid:account_ref>/hosts", hosts.HostListApi.as_view(), name="api-hosts"),
    path(
        "accounts/<uuid:account_ref>/load-profiles",
        loads.LoadProfileListApi.as_view(),
        name="api-load-profiles",
    ),
    path("load-profiles/<uuid:profile_ref>", loads.LoadProfileApi.as_view(), name="api-load-profile"),
    path(
        "load-profiles/<uuid:profile_ref>/submit",
        loads.LoadProfileSubmitApi.as_view(),
        name="api-load-profile-submit",
    ),
    path(
        "load-profiles/<uuid:profile_ref>/withdraw",
        loads.LoadProfileWithdrawApi.as_view(),
        name="api-load-profile-withdraw",
    ),
    path(
        "load-profiles/<uuid:profile_ref>/start",
        loads.LoadProfileStartApi.as_view(),
        name="api-load-profile-start",
    ),
    path("accounts/<uuid:account_ref>/load-runs", loads.LoadRunListApi.as_view(), name="api-load-runs"),
    path("load-runs/<uuid:load_ref>", loads.LoadRunApi.as_view(), name="api-load-run"),
    path("load-runs/<uuid:load_ref>/abort", loads.LoadRunAbortApi.as_view(), name="api-load-run-abort"),
    path("hosts/<uuid:host_ref>", hosts.HostApi.as_view(), name="api-host"),
    path("hosts/<uuid:host_ref>/check", hosts.HostCheckApi.as_view(), name="api-host-check"),
    path("accounts/<uuid:account_ref>/markers", markers.MarkersApi.as_view(), name="api-markers"),
    path("accounts/<uuid:account_ref>/samples", metrics.SamplesApi.as_view(), name="api-samples"),
    path("accounts/<uuid:account_ref>/metrics", metrics.MetricListApi.as_view(), name="api-metrics"),
    path("metrics/<uuid:metric_ref>/vital", metrics.MetricVitalApi.as_view(), name="api-metric-vital"),
    path("metrics/<uuid:metric_ref>/points", metrics.MetricPointsApi.as_view(), name="api-metric-points"),
    path("metrics/<uuid:metric_ref>/growth", reports.GrowthReportApi.as_view(), name="api-growth-report"),
    path(
        "accounts/<uuid:account_ref>/growth-reports",
        reports.GrowthReportListApi.as_view(),
        name="api-growth-reports",
    ),
    path(
        "accounts/<uuid:account_ref>/detected-events",
        reports.DetectedEventListApi.as_view(),
        name="api-detected-events",
    ),
    path(
        "detected-events/<uuid:detected_ref>/name",
        reports.DetectedNameApi.as_view(),
        name="api-detected-name",
    ),
    path(
        "detected-events/<uuid:detected_ref>/dismiss",
        reports.DetectedDismissApi.as_view(),
        name="api-detected-dismiss",
    ),
    path(
        "accounts/<uuid:account_ref>/sized-pools", reports.SizedPoolListApi.as_view(), name="api-sized-pools"
    ),
    path("sized-pools/<uuid:pool_ref>", reports.SizedPoolApi.as_view(), name="api-sized-pool"),
    path("sized-pools/<uuid:pool_ref>/look", reports.SizedPoolLookApi.as_view(), name="api-sized-pool-look"),
    path("sized-pools/<uuid:pool_ref>/what-if", reports.WhatIfApi.as_view(), name="api-what-if"),
    path(
        "accounts/<uuid:account_ref>/server-prices",
        reports.ServerPriceListApi.as_view(),
        name="api-server-prices",
    ),
    path("server-prices/<uuid:price_ref>", reports.ServerPriceApi.as_view(), name="api-server-price"),
]
