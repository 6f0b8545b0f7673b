"""Addresses of reviews, action items, the Monday list and a team's quarter."""

from __future__ import annotations

from django.urls import path

from accounts.reviews import views

urlpatterns = [
    path("monday/", views.Monday.as_view(), name="monday"),
    path("monday/as.csv", views.MondayCsv.as_view(), name="monday-csv"),
    path("accounts/<uuid:account_ref>/reviews/", views.ReviewList.as_view(), name="review-list"),
    path("accounts/<uuid:account_ref>/reviews/begin/", views.ReviewBegin.as_view(), name="review-begin"),
    path(
        "accounts/<uuid:account_ref>/reviews/schedule/",
        views.ScheduleChange.as_view(),
        name="review-schedule",
    ),
    path("reviews/<uuid:review_ref>/", views.ReviewDetail.as_view(), name="review-detail"),
    path("reviews/<uuid:review_ref>/change/", views.ReviewChange.as_view(), name="review-change"),
    path("reviews/<uuid:review_ref>/compare/", views.ReviewCompare.as_view(), name="review-compare"),
    path("reviews/<uuid:review_ref>/sign/", views.ReviewSign.as_view(), name="review-sign"),
    path(
        "reviews/<uuid:review_ref>/sign-for-provider/",
        views.ReviewSignProvider.as_view(),
        name="review-sign-provider",
    ),
    path("reviews/<uuid:review_ref>/call-off/", views.ReviewCallOff.as_view(), name="review-call-off"),
    path("review-items/<uuid:review_item_ref>/", views.ItemAnswer.as_view(), name="review-item"),
    path("accounts/<uuid:account_ref>/actions/", views.ActionList.as_view(), name="action-list"),
    path("accounts/<uuid:account_ref>/actions/add/", views.ActionAdd.as_view(), name="action-add"),
    path("actions/<uuid:action_ref>/", views.ActionDetail.as_view(), name="action-detail"),
    path("teams/<uuid:team_ref>/quarter/", views.TeamQuarter.as_view(), name="team-quarter"),
    path("teams/<uuid:team_ref>/review-items/", views.TeamItems.as_view(), name="team-review-items"),
]
