"""Taking a copy away again: undoing a completed one, cleaning up after one that wasn't.

An operation of its own kind, so gates, leases, events, pausing and its page come with the
kernel. Owned here: when a copy may be taken away, whether it was changed since, and the
deletion, bottom up through the id map.
"""
