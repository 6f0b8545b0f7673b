"""The API's addresses for scorecards, reviews, action items, the Monday list and a team's quarter."""

from __future__ import annotations

from django.urls import path

from accounts.reviews import api

urlpatterns = [
    path("monday", api.MondayApi.as_view(), name="api-monday"),
    path("accounts/<uuid:account_ref>/scorecard", api.ScorecardApi.as_view(), name="api-scorecard"),
    path("accounts/<uuid:account_ref>/reviews", api.ReviewListApi.as_view(), name="api-reviews"),
    path(
        "accounts/<uuid:account_ref>/review-schedule", api.ScheduleApi.as_view(), name="api-review-schedule"
    ),
    path("reviews/<uuid:review_ref>", api.ReviewApi.as_view(), name="api-review"),
    path("reviews/<uuid:review_ref>/sign", api.ReviewSignApi.as_view(), name="api-review-sign"),
    path(
        "reviews/<uuid:review_ref>/sign-for-provider",
        api.ReviewSignProviderApi.as_view(),
        name="api-review-sign-provider",
    ),
    path("reviews/<uuid:review_ref>/call-off", api.ReviewCallOffApi.as_view(), name="api-review-call-off"),
    path("reviews/<uuid:review_ref>/comparison", api.ReviewCompareApi.as_view(), name="api-review-compare"),
    path("review-items/<uuid:review_item_ref>", api.ReviewItemApi.as_view(), name="api-review-item"),
    path("accounts/<uuid:account_ref>/actions", api.ActionListApi.as_view(), name="api-actions"),
    path("actions/<uuid:action_ref>", api.ActionApi.as_view(), name="api-action"),
    path("actions/<uuid:action_ref>/close", api.ActionCloseApi.as_view(), name="api-action-close"),
    path("teams/<uuid:team_ref>/review-items", api.TeamItemsApi.as_view(), name="api-team-review-items"),
    path("teams/<uuid:team_ref>/quarter", api.TeamQuarterApi.as_view(), name="api-team-quarter"),
]
