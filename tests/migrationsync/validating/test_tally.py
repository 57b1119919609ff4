from __future__ import annotations

from migrationsync.models import MigrationValidationReport
from migrationsync.validating import VALIDATIONS, Discrepancy, Looked, Tally


def test_every_type_of_report_has_its_validation() -> None:
    assert set(VALIDATIONS) == set(MigrationValidationReport.Type.values)


def test_tally_keeps_the_first_examples_and_every_count() -> None:
    tally = Tally()
    for start in range(0, 50, 10):
        wrong = [Discrepancy("missing", 10, list(range(start, start + 10)))]
        tally = tally.plus(Looked(10, wrong, None, {"a": 1, "b": 0}, {"last": start}), 0.25)
    assert tally.details == [{"what": "missing", "count": 50, "examples": list(range(20))}]
    assert (tally.records, tally.discrepancies, tally.seconds) == (50, 50, 1.25)
    assert (tally.figures, tally.measured) == ({"a": 5, "b": 0}, {"last": 40})
    assert Tally.from_json(tally.as_json()).details == tally.details


def test_discrepancy_without_examples_has_none_in_its_details() -> None:
    tally = Tally().plus(Looked(1, [Discrepancy("too slow", 1)], None), 0)
    assert tally.details == [{"what": "too slow", "count": 1}]
