"""How names are written in SQL: the one place that quotes them.

Django's `quote_name` takes a name that begins and ends with the engine's mark for one that is
quoted already, and doesn't double a mark within: a source's names are whatever they are.
"""

from __future__ import annotations


def quoted(name: str, vendor: str) -> str:
    """A name as the SQL of `vendor` ("postgresql", "mysql", "sqlite") writes it.

    Percent signs are single: double them in a statement that has parameters.
    """
    mark = "`" if vendor == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def quoted_table(name: str, vendor: str) -> str:
    """A table's name, with or without its schema (on MySQL, its database): “billing.invoice”."""
    return ".".join(quoted(part, vendor) for part in name.split("."))
