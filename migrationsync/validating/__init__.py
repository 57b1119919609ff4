"""Whether an entity came over whole, right, well connected and quickly: four validations.

Owns what each looks at and what it counts as a discrepancy. Doesn't own steps, waiting and
cursors in a run: that is `migrationsync.works.validate`.
"""

from migrationsync.validating.base import Discrepancy, Looked, Validation
from migrationsync.validating.completeness import Completeness
from migrationsync.validating.integrity import DataIntegrity
from migrationsync.validating.performance import Performance
from migrationsync.validating.relationships import RelationshipIntegrity
from migrationsync.validating.tally import Tally

# By the type of their report, in the order in which they are made.
VALIDATIONS: dict[str, type[Validation]] = {
    each.type: each for each in (Completeness, DataIntegrity, RelationshipIntegrity, Performance)
}

__all__ = [
    "VALIDATIONS",
    "Completeness",
    "DataIntegrity",
    "Discrepancy",
    "Looked",
    "Performance",
    "RelationshipIntegrity",
    "Tally",
    "Validation",
]
