"""Pages and API of an account's webhooks; what they do is in portal/webhooks."""
