from django.apps import AppConfig
from django.core import checks
from django.utils.module_loading import autodiscover_modules


class MigrationSyncConfig(AppConfig):
    name = "migrationsync"

    def ready(self) -> None:
        from migrationsync.entities.checks import check_entities

        # Each installed app's entities.py, as the admin does with admin.py.
        autodiscover_modules("entities")
        checks.register(check_entities)
