"""System checks of the load gates' settings: values that would never wait, or for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from operations.gates.load.decision import PROCEED, WAIT


@register("load")
def check_load(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return [*_check_when_unreadable(), *_check_limits(), *_check_slowdown(), *_check_share()]


def _check_when_unreadable() -> Iterator[Error]:
    if settings.LOAD_WHEN_UNREADABLE not in (PROCEED, WAIT):
        yield Error(
            f"LOAD_WHEN_UNREADABLE is {settings.LOAD_WHEN_UNREADABLE!r}.",
            hint=f"Set it to {PROCEED} or {WAIT}.",
            id="operations.E021",
        )


def _check_limits() -> Iterator[Error]:
    # 0 is "don't look", but for the CPU, whose switch is the instance.
    for name, least in (
        ("LOAD_MAX_ACTIVE_SESSIONS", 0),
        ("LOAD_MAX_REPLICATION_LAG_SECONDS", 0),
        ("LOAD_RDS_MAX_CPU_PERCENT", 1),
    ):
        if getattr(settings, name) < least:
            yield Error(
                f"{name} is {getattr(settings, name)}: every operation would wait for ever.",
                hint=f"Set it to {least} or more, or take it away for its default.",
                id="operations.E022",
            )


def _check_slowdown() -> Iterator[Error]:
    if settings.LOAD_MAX_SLOWDOWN and settings.LOAD_MAX_SLOWDOWN <= 1:
        yield Error(
            f"LOAD_MAX_SLOWDOWN is {settings.LOAD_MAX_SLOWDOWN:g}: an ordinary step would count "
            "as slow.",
            hint="Set it above 1 (4 is four times a step's usual time), or to 0: don't look.",
            id="operations.E023",
        )


def _check_share() -> Iterator[Error]:
    if settings.LOAD_SHARE_PERCENT < 0:
        yield Error(
            f"LOAD_SHARE_PERCENT is {settings.LOAD_SHARE_PERCENT}: no share of the time.",
            hint="Set it to a percentage (16 is about a sixth of the time), or to 0: no rest.",
            id="operations.E024",
        )
