"""Duplications in the admin: starting them from the list of episodes, watching them.

A duplication can't be edited, added or deleted here: what changes one goes through
`duplication.services`.
"""

from duplication.admin.duplications import DuplicationAdmin
from duplication.admin.starting import offer_on_episodes

offer_on_episodes()

__all__ = ["DuplicationAdmin"]
