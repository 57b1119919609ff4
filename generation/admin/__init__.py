"""Generations in the admin, with what they cost and the sounds that are kept: starting them
from the list of episodes, watching and steering them.

Nothing can be edited, added or deleted here: what changes something goes through a service.
"""

from generation.admin.cache import AudioCacheAdmin
from generation.admin.episodes import show_on_episodes
from generation.admin.generations import GenerationAdmin
from generation.admin.metrics import MetricsAdmin
from generation.admin.starting import offer_on_episodes

offer_on_episodes()
show_on_episodes()

__all__ = ["AudioCacheAdmin", "GenerationAdmin", "MetricsAdmin"]
