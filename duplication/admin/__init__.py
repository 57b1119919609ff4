"""Duplications in the admin, with what removes a copy and brings it up to date: starting
them from the list of episodes, watching and steering them.

None can be edited, added or deleted here: what changes one goes through a service.
"""

from duplication.admin.catch_ups import CatchUpAdmin
from duplication.admin.duplications import DuplicationAdmin
from duplication.admin.removals import RemovalAdmin
from duplication.admin.starting import offer_on_episodes

offer_on_episodes()

__all__ = ["CatchUpAdmin", "DuplicationAdmin", "RemovalAdmin"]
