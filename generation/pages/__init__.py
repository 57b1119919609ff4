"""Pages for people who make content: their audio, in plain words.

Owns what they see and how it is said. What they may do is the same as everywhere, and goes
through the same services. What a generation looks like (`presenting` and the templates that
draw it) is shared with the admin.
"""
