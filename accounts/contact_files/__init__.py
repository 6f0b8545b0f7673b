"""Contacts as files: CSV and vCard in and out."""
