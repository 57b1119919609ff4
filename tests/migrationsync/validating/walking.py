"""Walks a validation to its end, as its work does."""

from __future__ import annotations

import json
from contextlib import closing

from migrationsync.validating import Tally


def walked(kind, sides, *, entity=None, size=50_000):
    """What a validation of this class comes to. What the cursor carries is taken through JSON."""
    entity = entity or sides.entity
    validation = kind(entity, sides.source, sides.source.table(entity.source))
    tally, cursor = Tally(), None
    with closing(validation):
        while True:
            looked = validation.look(validation.read(cursor, size))
            tally = Tally.from_json(json.loads(json.dumps(tally.plus(looked, 0.001).as_json())))
            cursor = json.loads(json.dumps(looked.cursor))
            if cursor is None:
                return tally


def wrong(tally):
    return {each.what: list(each.examples) for each in tally.wrong.values()}
