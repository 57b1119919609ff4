"""Pages for people who make content: their episodes, their copies, in plain words.

Owns what they see and how it is said. What they may do is the same as everywhere, and goes
through the same services; the operators' view is the admin's.
"""
