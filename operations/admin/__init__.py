"""Operations in the admin: what the list and the page of every kind share, and the dashboard.

A kind gets its list and its page with a subclass of `OperationAdmin`; the dashboard shows
whatever kinds there are. Doesn't own what a kind alone has to say (its subclass), nor what
may be done to an operation (`operations.verbs`).
"""

from operations.admin.base import OperationAdmin, Section, WayOn

__all__ = ["OperationAdmin", "Section", "WayOn"]
