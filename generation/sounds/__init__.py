"""Segments' sounds: which is which, who makes one, where it is kept."""
