"""Log-in, log-out and own settings; names without a prefix, since every page links to them."""

from __future__ import annotations

from django.urls import path

from accounts import login_views, me_views, people_views, token_views
from accounts.contacts.link_views import ContactLinkPage, MailBounces

urlpatterns = [
    path("about-me/<str:link_token>/", ContactLinkPage.as_view(), name="contact-link"),
    path("mail/bounces/", MailBounces.as_view(), name="mail-bounces"),
    path("login/", login_views.LogIn.as_view(), name="login"),
    path("login/second/", login_views.LogInSecond.as_view(), name="login-second"),
    path("login/with/<slug:slug>/", login_views.OidcBegin.as_view(), name="oidc-begin"),
    path("login/with/<slug:slug>/callback/", login_views.OidcCallback.as_view(), name="oidc-callback"),
    path("login/reset/", login_views.ResetAsk.as_view(), name="password-reset-ask"),
    path("login/reset/<uuid:user_ref>/<str:key>/", login_views.ResetSet.as_view(), name="password-reset"),
    path("join/<str:invitation_token>/", people_views.Join.as_view(), name="join"),
    path("logout/", login_views.LogOut.as_view(), name="logout"),
    path("me/", me_views.Me.as_view(), name="me"),
    path("me/prove/", me_views.Prove.as_view(), name="prove"),
    path("me/password/", me_views.PasswordChange.as_view(), name="password-change"),
    path("me/mail/", me_views.MailChange.as_view(), name="mail-change"),
    path("me/mail/confirm/<str:mail_link>/", me_views.MailConfirm.as_view(), name="mail-confirm"),
    path("me/second-factor/", me_views.SecondFactor.as_view(), name="second-factor"),
    path("me/second-factor/app/", me_views.AppAdd.as_view(), name="app-add"),
    path("me/second-factor/key/", me_views.KeyAdd.as_view(), name="key-add"),
    path("me/second-factor/codes/", me_views.RecoveryCodes.as_view(), name="recovery-codes"),
    path("me/second-factor/<uuid:factor_ref>/remove/", me_views.FactorRemove.as_view(), name="factor-remove"),
    path("me/organizations/<uuid:link_ref>/unlink/", me_views.LinkRemove.as_view(), name="oidc-unlink"),
    path("me/sessions/end-others/", me_views.SessionsEnd.as_view(), name="sessions-end"),
    path("me/sessions/<uuid:session_ref>/end/", me_views.SessionEnd.as_view(), name="session-end"),
    path("me/tokens/make/", token_views.TokenMake.as_view(), name="token-make"),
    path("me/tokens/<uuid:token_ref>/revoke/", token_views.TokenRevoke.as_view(), name="token-revoke"),
]
