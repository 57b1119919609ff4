"""Signs of life of the worker clusters."""

from django.db import models


class ClusterHeartbeat(models.Model):
    """One row per running cluster, removed when it stops in order.

    `beat_at` moves when one of the cluster's *workers* has shown that it runs tasks: a
    cluster whose processes live but whose workers take nothing goes stale here.
    """

    cluster = models.CharField(primary_key=True, max_length=128)
    hostname = models.CharField(max_length=255)
    pid = models.PositiveIntegerField(help_text="The supervisor's.")
    workers = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField(db_index=True)
    restarts = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "operation_cluster_heartbeats"

    def __str__(self) -> str:
        return self.cluster
