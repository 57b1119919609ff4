"""The content tree in the admin: pages that stay fast however large the tree is.

Every list is read through an index and counted up to a bound; children are a link to
their own list, never an inline; deleting doesn't load what it deletes.
"""

from content.admin.nodes import BlockAdmin, EpisodeAdmin, ItemAdmin, PartAdmin

__all__ = ["BlockAdmin", "EpisodeAdmin", "ItemAdmin", "PartAdmin"]
