from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from django_q.signals import post_spawn

        # A worker is forked: its exporter's thread must be started in itself.
        post_spawn.connect(_configure_worker, dispatch_uid="config.telemetry")


def _configure_worker(**kwargs: object) -> None:
    from config import telemetry

    telemetry.configure("encore-worker")
