"""The form of a synchronization. What is saved, and whether, is `services.jobs`'."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from django import forms
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms.boundfield import BoundWidget
from django.utils import timezone

from migrationsync import schedules
from migrationsync.admin.words import missing_parents
from migrationsync.entities import entities
from migrationsync.models import SynchronizationJob
from migrationsync.models.schemas import SCHEDULE
from operations.api.pagination import is_number

MAX_CRON = 100
MAX_MINUTES: int = SCHEDULE["properties"]["interval_minutes"]["maximum"]  # type: ignore[index]

DIRECTIONS = (
    (
        SynchronizationJob.Direction.SOURCE_TO_TARGET.value,
        "From the source to the target. The legacy database is only read.",
    ),
    (
        SynchronizationJob.Direction.BIDIRECTIONAL.value,
        "Both ways: what changed in the target goes back. On the tables of the chosen entities "
        "the source's account then needs INSERT, and UPDATE on the declared columns, besides "
        "SELECT; DELETE only on those that have no column that marks a row as deleted.",
    ),
)
TYPES = (
    (
        SynchronizationJob.Type.MANUAL_SYNC.value,
        "Manual sync: brings over what changed, when somebody asks for it.",
    ),
    (
        SynchronizationJob.Type.SCHEDULED_SYNC.value,
        "Scheduled sync: the same, by its schedule.",
    ),
    (
        SynchronizationJob.Type.DIFFERENTIAL_MIGRATION.value,
        "Differential migration: “Run now” loads every row of the source.",
    ),
)
RESOLUTIONS = (
    (
        SynchronizationJob.Resolution.MANUAL.value,
        "A person decides: conflicts wait on the review page.",
    ),
    (SynchronizationJob.Resolution.SOURCE_WINS.value, "The source wins."),
    (SynchronizationJob.Resolution.TARGET_WINS.value, "The target wins."),
)
NEVER, INTERVAL, CRON = "", "interval", "cron"


class EntityRow(NamedTuple):
    """An entity to choose. `missing`: what it refers to and nobody chose or migrated."""

    choice: BoundWidget
    source: str
    target: str
    needs: tuple[str, ...]
    missing: list[str]


class Preview(NamedTuple):
    """What a schedule means, and when it would run next; or what is wrong with it."""

    words: str = ""
    moments: Sequence[dt.datetime] = ()
    problem: str = ""


def preview(given: Mapping[str, str]) -> Preview | None:
    """Of a schedule as it is being filled in: one of its fields, with its text. None while that
    is empty."""
    config: dict[str, Any] = {}
    if minutes := given.get("interval_minutes", "").strip():
        if not is_number(minutes) or not 1 <= int(minutes) <= MAX_MINUTES:
            return Preview(problem=f"A number of minutes is from 1 to {MAX_MINUTES:,}.")
        config = {"interval_minutes": int(minutes)}
    elif cron := given.get("cron", "").strip()[:MAX_CRON]:
        config = {"cron": cron}
    if not config:
        return None
    try:
        schedules.check(config)
    except ValidationError as error:
        return Preview(problem=" ".join(error.messages))
    return Preview(f"{schedules.in_words(config)}.", schedules.next_runs(config))


class JobForm(forms.ModelForm):
    job_type = forms.ChoiceField(label="What it is", choices=TYPES, widget=forms.RadioSelect)
    source_alias = forms.ChoiceField(label="Legacy database")
    entities_to_sync = forms.MultipleChoiceField(
        label="Entities",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one entity."},
    )
    recurs = forms.ChoiceField(
        label="Schedule",
        required=False,
        widget=forms.RadioSelect,
        choices=(
            (NEVER, "Only when somebody asks."),
            (INTERVAL, "Again and again, after so many minutes."),
            (CRON, "At certain times, as a cron expression says."),
        ),
    )
    interval_minutes = forms.IntegerField(
        label="Minutes", min_value=1, max_value=MAX_MINUTES, required=False
    )
    cron = forms.CharField(
        label="Cron expression",
        max_length=MAX_CRON,
        required=False,
        help_text="Minute, hour, day of the month, month, day of the week: “30 2 * * *” is every "
        "night at 02:30.",
    )
    sync_direction = forms.ChoiceField(
        label="Direction", choices=DIRECTIONS, widget=forms.RadioSelect
    )
    conflict_resolution = forms.ChoiceField(
        label="When both sides changed", choices=RESOLUTIONS, widget=forms.RadioSelect
    )

    class Meta:
        model = SynchronizationJob
        fields = (
            "job_name",
            "job_type",
            "source_alias",
            "entities_to_sync",
            "sync_direction",
            "conflict_resolution",
            "max_records_per_batch",
            "max_failed_percent",
            "max_deletes",
            "max_deleted_percent",
        )
        labels: ClassVar = {
            "job_name": "Name",
            "max_records_per_batch": "Records per batch",
            "max_failed_percent": "Refused rows, in percent",
            "max_deletes": "Deletes without asking",
            "max_deleted_percent": "Deletes without asking, in percent",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        zone = timezone.get_default_timezone_name()
        self.fields["cron"].help_text += f" The time zone is {zone}."
        aliases = sorted(settings.DATABASES, key=lambda alias: (alias == "default", alias))
        in_order = [entity.name for entity in entities.in_order()]
        self._choices("source_alias", [(each, each) for each in aliases])
        self._choices("entities_to_sync", [(name, name) for name in in_order])
        config = self.instance.schedule_config
        self.initial.update(
            recurs=CRON if "cron" in config else INTERVAL if config else NEVER,
            cron=config.get("cron", ""),
            interval_minutes=config.get("interval_minutes"),
        )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        recurs = given.get("recurs", NEVER)
        if recurs == NEVER and given.get("job_type") == SynchronizationJob.Type.SCHEDULED_SYNC:
            self.add_error("recurs", "A scheduled sync needs a schedule: choose one of the others.")
        for name, text in (
            (INTERVAL, "Say after how many minutes it runs again."),
            (CRON, "Say when it runs, for example “30 2 * * *”."),
        ):
            field = SCHEDULES[name]
            if recurs == name and field not in self.errors and not given.get(field):
                self.add_error(field, text)
        if recurs == CRON and given.get("cron"):
            try:
                schedules.check({"cron": given["cron"]})
            except ValidationError as error:
                self.add_error("cron", error.message_dict["schedule_config"])
        return given

    def preview(self) -> Preview | None:
        """Of what is filled in; what is wrong with it is said at its field."""
        name = SCHEDULES.get(self["recurs"].value())
        found = preview({name: str(self[name].value() or "")}) if name else None
        return None if found is None or found.problem else found

    @property
    def asked(self) -> dict[str, Any]:
        """The job's fields as they were asked for. Of a form that is valid."""
        given = self.cleaned_data
        field = SCHEDULES.get(given["recurs"])
        return {
            **{name: given[name] for name in self._meta.fields or ()},
            "schedule_config": {field: given[field]} if field else {},
        }

    def refuse(self, error: ValidationError) -> None:
        """Shows what the service refused at the fields that it is about."""
        by_name = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: [error]}
        for name, errors in by_name.items():
            field = name
            if name == "schedule_config":
                field = SCHEDULES.get(self.cleaned_data.get("recurs", NEVER), "recurs")
            for each in errors:
                self.add_error(field if field in self.fields else None, each)

    def entity_rows(self) -> list[EntityRow]:
        bound = self["entities_to_sync"]
        missing = missing_parents(bound.value() or ())
        rows = []
        for choice in bound.subwidgets:
            entity = entities.get(str(choice.data["value"]))
            rows.append(
                EntityRow(
                    choice,
                    entity.source,
                    entity.target._meta.db_table,
                    entity.depends_on,
                    missing.get(entity.name, []),
                )
            )
        return rows

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]


# The field that holds what was chosen as the schedule; so it is called in the configuration too.
SCHEDULES = {INTERVAL: "interval_minutes", CRON: "cron"}
