"""The legacy dispatch office's rows: the same for the same seed, on every engine.

Most are ordinary. What makes migrations hard comes at set places of every thousand rows, the
first time early, so that small databases have it too: nulls and blanks, blanks at the end,
addresses and numbers written in every way, clocks at the change of summer time, keys of rows
that aren't there, codes nobody knows, licences given twice, broken JSON, dates that never were,
deleted rows, and texts of a quarter of a megabyte.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

from migrationsync.dispatch.legacy.tables import (
    DOCTOR,
    OFFICE,
    ORDER,
    PATIENT,
    PRODUCT,
    PROFILE,
    LegacyTable,
)

Row = tuple[Any, ...]

# What is awkward comes round after so many rows.
ROUND = 1009
LONG_TEXT = 256 * 1024
NOBODY = 900_000_000

_FIRST_DAY = date(2019, 1, 1)
_DAYS = [f"{_FIRST_DAY + timedelta(days=n)}" for n in range(2500)]
_CLOCK = [f"{n // 60:02}:{n % 60:02}:{n * 7 % 60:02}" for n in range(24 * 60)]
_LEFT_OUT = "2024-03-31 02:30:00"  # in Berlin the clock went from 2 to 3
_TWICE = "2024-10-27 02:30:00"  # and here from 3 back to 2

_FIRST = (
    "Ada Björn Chiara Dörte Emil Fatma Grete Henrik Inès José Katarzyna Lars Mia Noor Oskar Æsa"
)
_LAST = "Abel Brandt Çelik Dvořák Engström Fischer García Hoffmann Ibsen Jäger Kowalska Lindqvist"
_CITY = "Aachen Bremen Celle Dresden Erfurt Freiburg Görlitz Hamburg Ingolstadt Jena Köln Lübeck"
_WARE = "Splint Bandage Brace Insole Lens Thermometer Scale Pillow Cane Monitor Inhaler Mask"
FIRST, LAST, CITY, WARE = (text.split() for text in (_FIRST, _LAST, _CITY, _WARE))
SPECIALTIES = ["Cardiology", "Dermatology", "Neurology  ", "Paediatrics", "", None]
PHONES: list[Callable[[int], str | None]] = [
    lambda n: f"030 {n:07}",
    lambda n: f"+49 (0)40/{n:06}",
    lambda n: f"0049-89-{n:07}",
    lambda n: f"0221.{n:06} ",
    lambda n: None,
    lambda n: "  ",
]


def key(number: int) -> int:
    """The key of a table's n-th row: seven of every 107 keys were deleted long ago."""
    return number + number // 100 * 7


def rows(table: LegacyTable, *, scale: float, seed: int) -> Iterator[Row]:
    """The rows of a table in the order of its columns, the key first, then as that order."""
    dice = random.Random(f"{seed}/{table.name}")  # noqa: S311 - made-up data
    above = _ABOVE.get(table.name)
    parents = above.rows(scale) if above else 0
    make = _MAKERS[table.name]
    bits = dice.getrandbits
    for number in range(1, table.rows(scale) + 1):
        chance, place = bits(60), number % ROUND
        own = make(number, chance, place)
        if above is None:
            head: Row = (key(number),)
        else:
            parent: int | None = key(1 + chance % parents)
            if place == 6:
                parent = NOBODY + number
            head = (key(number), parent)
        yield (*head, *own, *_times(chance >> 20, place))


def _times(chance: int, place: int) -> Row:
    day = chance % 2400
    created = f"{_DAYS[day]} {_CLOCK[chance % 1440]}"
    if place == 9:
        created = _LEFT_OUT
    elif place == 10:
        created = _TWICE
    if chance & 3:
        modified = created
    else:
        modified = f"{_DAYS[day + 1 + (chance >> 8) % 90]} {_CLOCK[(chance >> 4) % 1440]}"
    return created, modified, (f"{_DAYS[2499]} 08:00:00" if chance % 41 == 0 else None)


def _name(chance: int, place: int) -> str:
    name = f"{FIRST[chance % len(FIRST)]} {LAST[(chance >> 8) % len(LAST)]}"
    if place == 11:
        return f"  {name}   "
    return f"{name} 👩‍⚕️" if place == 12 else name


def _email(number: int, chance: int, place: int) -> str | None:
    if place == 13:
        return "n/a"
    address = f"person{number}@example.org"
    match chance % 16:
        case 0:
            return None
        case 1:
            return f" {address.title()} "
        case 2:
            return ""
    return address


def _phone(chance: int, place: int) -> str | None:
    if place == 14:
        return "ask reception"
    return PHONES[chance % len(PHONES)](chance % 1_000_000)


def _office(number: int, chance: int, place: int) -> Row:
    city = CITY[chance % len(CITY)]
    return (
        f"{city} {number}" + ("   " if number % 5 == 0 else ""),
        None if chance % 11 == 0 else f"{city}  ",
        PHONES[chance % len(PHONES)](number),
        None if chance % 7 == 0 else f"{500 + chance % 9000}.{chance % 100:02}",
        ("Y", "N", "y", None)[chance % 4],
        None if chance % 5 == 0 else _DAYS[chance % 2500],
    )


def _profile(number: int, chance: int, place: int) -> Row:
    prefs: str | None = f'{{"lang": "{("de", "en", "tr")[chance % 3]}", "mails": {chance % 9}}}'
    if place == 7:
        prefs = '{"lang": "de", '
    elif chance % 8 == 0:
        prefs = None if chance % 16 else "  "
    role = 9 if place == 8 else 1 + chance % 3
    return _name(chance, place), _email(number, chance, place), role, prefs


def _doctor(number: int, chance: int, place: int) -> Row:
    # Two doctors by one licence.
    licence = f"L-{number - 1 if place == 7 else number:07}"
    return (
        f"{licence} " if number % 9 == 0 else licence,
        SPECIALTIES[chance % len(SPECIALTIES)],
        f"{60 + chance % 200}.{chance % 10_000:04}",
        None if chance % 13 == 0 else chance & 1,
    )


def _patient(number: int, chance: int, place: int) -> Row:
    born: str | None = _DAYS[chance % 2500].replace("20", "19", 1)
    if place == 7:
        born = "1981-02-30"
    elif chance % 9 == 0:
        born = ("0000-00-00", "", None)[chance % 3]
    notes: str | None = (
        None if chance % 3 else f"Seen {_DAYS[chance % 2500]}.\nHer own words: “…”\t"
    )
    if number % 10_007 == 15:
        notes = "Änderung \\ change\n" * (LONG_TEXT // 18)
    return _name(chance, place), _email(number, chance, place), _phone(chance, place), born, notes


def _order(number: int, chance: int, place: int) -> Row:
    day = (chance >> 16) % 2400
    placed = f"{_DAYS[day]} {_CLOCK[chance % 1440]}"
    shipped = None
    state = "NPSX"[chance % 4]
    if state == "S":
        shipped = f"{_DAYS[day + 1 + chance % 20]} {_CLOCK[(chance >> 6) % 1440]}"
    if place == 7:
        placed, shipped, state = "2024-05-02 10:00:00", "2024-05-01 10:00:00", "S"
    if place == 8:
        state = "?"
    # An order that was sent twice.
    count = number - 1 if place == 15 else number
    return f"O{count:08}", state, f"{chance % 90_000}.{chance % 100:02}", placed, shipped


def _product(number: int, chance: int, place: int) -> Row:
    ware = WARE[chance % len(WARE)]
    return (
        f"{ware[:3].upper()}-{chance % 10_000:04}",
        f"{ware} {chance % 50}" + ("  " if chance % 17 == 0 else ""),
        -1 if place == 7 else None if chance % 19 == 0 else 1 + chance % 12,
        f"{chance % 500}.{chance % 10_000:04}",
        None if chance % 23 == 0 else chance & 1,
    )


_ABOVE = {
    PROFILE.name: OFFICE,
    DOCTOR.name: PROFILE,
    PATIENT.name: DOCTOR,
    ORDER.name: PATIENT,
    PRODUCT.name: ORDER,
}
_MAKERS: dict[str, Callable[[int, int, int], Row]] = {
    OFFICE.name: _office,
    PROFILE.name: _profile,
    DOCTOR.name: _doctor,
    PATIENT.name: _patient,
    ORDER.name: _order,
    PRODUCT.name: _product,
}
