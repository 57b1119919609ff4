"""The files that blocks refer to, and what a copy does with them.

*share* keeps the references. *copy* gives each file of the copy an object of its own, made
inside the storage: the bytes never pass through a worker where the storage can copy.
"""
