"""The verbs of the migration: every way in comes through here."""
