"""What a generation looks like, for its owner's page and for the admin's.

Owns what each template in `templates/generation/` is given (as `section`): one function for
each, with the template's name. Every function makes a fixed number of queries and gives a
bounded answer, however long the episode is: script and transcript come a page at a time,
segments as at most 240 cells. None of them needs the generation's `script` loaded. Owns no
markup.
"""

from generation.pages.presenting.hearing import audio
from generation.pages.presenting.once_more import again
from generation.pages.presenting.pieces import segments
from generation.pages.presenting.spending import costs
from generation.pages.presenting.steps import stepper
from generation.pages.presenting.writing import outline, reasons, script

__all__ = ["again", "audio", "costs", "outline", "reasons", "script", "segments", "stepper"]
