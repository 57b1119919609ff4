"""Bringing into a copy what was edited in the original while it was being copied.

Owns the kind "catch_up": its stages, what it refuses, and how it is started. What there
is to apply was found by `duplication.drift`.
"""
