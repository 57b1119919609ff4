"""`manage.py run_workers`: one worker cluster with its supervisor and dispatcher."""

from __future__ import annotations

import re
import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operations.dispatcher import dispatch_due
from operations.queue.heartbeat import ClusterNameTaken
from operations.queue.supervisor import STALL_SECONDS, Supervisor
from operations.retention import ensure_scheduled

MIN_STALL_SECONDS = 3.0


class Command(BaseCommand):
    help = (
        "Runs background operations: starts a cluster of workers, restarts it when it dies or "
        "hangs, and delivers what is due. SIGTERM stops it in order, a second one at once. "
        "Run as many as you like, on one machine (each with its own --cluster) or several."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--workers",
            type=int,
            default=settings.Q_CLUSTER["workers"],
            help="Worker processes. Default: %(default)s, from WORKERS.",
        )
        parser.add_argument(
            "--cluster",
            default=socket.gethostname()[:64],
            help="The cluster's name, unique among those that run. Default: the host's name.",
        )
        parser.add_argument(
            "--stall-seconds",
            type=float,
            default=STALL_SECONDS,
            help="Restart the cluster if it runs nothing for so long. Default: %(default)s.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1.")
        if not re.fullmatch(r"[\w.-]{1,64}", options["cluster"]):
            raise CommandError("--cluster must be 1 to 64 letters, digits, dots or dashes.")
        if options["stall_seconds"] < MIN_STALL_SECONDS:
            raise CommandError(
                f"--stall-seconds must be at least {MIN_STALL_SECONDS:.0f}: "
                "a healthy worker beats no more often than once a second."
            )
        ensure_scheduled()
        supervisor = Supervisor(
            cluster=options["cluster"],
            workers=options["workers"],
            dispatch=dispatch_due,
            stall_seconds=options["stall_seconds"],
        )
        try:
            supervisor.run()
        except ClusterNameTaken as error:
            raise CommandError(str(error)) from error
