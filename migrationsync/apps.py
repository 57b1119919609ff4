from django.apps import AppConfig
from django.core import checks
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules


class MigrationSyncConfig(AppConfig):
    name = "migrationsync"
    verbose_name = "Migration and sync"

    def ready(self) -> None:
        from migrationsync import normal, retention
        from migrationsync.entities.checks import check_entities
        from migrationsync.kind import SYNC
        from operations import kinds

        connection_created.connect(normal.teach_sqlite)
        # Each installed app's entities.py, as the admin does with admin.py.
        autodiscover_modules("entities")
        checks.register(check_entities)
        kinds.register(SYNC)
        retention.register()
