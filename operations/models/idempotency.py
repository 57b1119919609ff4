"""Which request a user's idempotency key stands for."""

from django.conf import settings
from django.db import models


class IdempotencyKey(models.Model):
    """A key, the request it was sent with (as a hash), and the operation it was answered with."""

    kind = models.CharField(max_length=32)
    # Null: asked for by nobody in particular (a command, a schedule).
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+"
    )
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    operation_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "operation_idempotency_keys"
        constraints = [
            models.UniqueConstraint(
                name="operation_idempotency_keys_once",
                fields=["kind", "user", "key"],
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
