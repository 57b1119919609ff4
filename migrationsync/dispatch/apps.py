from django.apps import AppConfig


class DispatchConfig(AppConfig):
    name = "migrationsync.dispatch"
    label = "dispatch"
