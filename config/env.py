"""Every variable Encore reads from its environment, with type and default, in one place.

`.env.example` documents the same list for operators; a test compares the two.
A `.env` file in the project's root is read first; real variables win over it.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import environ

ROOT = Path(__file__).resolve().parent.parent

INSECURE_SECRET_KEY = "insecure-development-key-never-use-in-production"  # noqa: S105 - refused there

# name: (cast, default). Order is the order of .env.example.
VARIABLES: dict[str, tuple[Any, Any]] = {
    "SECRET_KEY": (str, INSECURE_SECRET_KEY),
    "DEBUG": (bool, False),
    "ALLOWED_HOSTS": (list, []),
    "CSRF_TRUSTED_ORIGINS": (list, []),
    "SECURE_SSL_REDIRECT": (bool, True),
    "SECURE_HSTS_SECONDS": (int, 31_536_000),
    "BEHIND_TLS_PROXY": (bool, False),
    "TIME_ZONE": (str, "UTC"),
    "DATABASE_URL": (str, ""),
    "DATABASE_POOL_SIZE": (int, 10),
    "EMBEDDED_POSTGRES_DIR": (str, ""),
    "LEGACY_DATABASE_URL": (str, ""),
    "REDIS_URL": (str, ""),
    "MEDIA_ROOT": (str, "media"),
    "AWS_STORAGE_BUCKET_NAME": (str, ""),
    "AWS_LOCATION": (str, ""),
    "AWS_COPY_MAX_BYTES": (int, 512 * 1024 * 1024),
    "LOG_LEVEL": (str, "INFO"),
    "LOG_FORMAT": (str, "line"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (str, ""),
    "WORKERS": (int, 2),
    "QUEUE_BROKER": (str, "orm"),
    "QUEUE_NAME": (str, "duplicate_episodes"),
    "QUEUE_TASK_TIMEOUT_SECONDS": (int, 120),
    "QUEUE_RETRY_SECONDS": (int, 600),
    "OPERATION_TIME_BUDGET_SECONDS": (float, 20.0),
    "OPERATION_STEP_TARGET_MS": (int, 500),
    "OPERATION_LEASE_SECONDS": (int, 60),
    "OPERATION_MAX_CONCURRENT_JOBS": (int, 5),
    "OPERATION_THROTTLE_EXCEPTIONS": (int, 5),
    "OPERATION_THROTTLE_SECONDS": (int, 60),
    "OPERATION_KEEP_EVENTS_DAYS": (int, 90),
    "DUPLICATION_LANES": (int, 2),
    "DUPLICATION_KEEP_ID_MAP_DAYS": (int, 90),
    "DUPLICATION_KEEP_FAILED_DAYS": (int, 30),
    "DUPLICATION_PREVIEW_SECONDS": (float, 2.0),
    "GENERATION_TEXT_PROVIDER": (str, "offline"),
    "GENERATION_SPEECH_PROVIDER": (str, "offline"),
    "GENERATION_MAX_USD_PER_GENERATION": (Decimal, Decimal(0)),
    "GENERATION_MAX_USD_PER_DAY": (Decimal, Decimal(0)),
    "GENERATION_CACHE_MAX_BYTES": (int, 20 * 1024**3),
    "GENERATION_CACHE_MAX_DAYS": (int, 180),
    "GENERATION_KEEP_REPLACED_AUDIO_DAYS": (int, 30),
    "OPENAI_API_KEY": (str, ""),
    "OPENAI_BASE_URL": (str, "https://api.openai.com/v1"),
    "OPENAI_TEXT_MODEL": (str, "gpt-4.1-mini"),
    "OPENAI_SPEECH_MODEL": (str, "tts-1"),
    "OPENAI_USD_PER_MILLION_TOKENS_IN": (Decimal, Decimal("0.40")),
    "OPENAI_USD_PER_MILLION_TOKENS_OUT": (Decimal, Decimal("1.60")),
    "OPENAI_USD_PER_MILLION_CHARS": (Decimal, Decimal("15.00")),
    "OPENAI_MAX_PARALLEL": (int, 4),
    "OPENAI_TIMEOUT_SECONDS": (float, 60.0),
    "SYNC_MAPPING_CACHE_SIZE": (int, 50_000),
    "SYNC_REPORT_EXPIRES_HOURS": (int, 24),
    "SYNC_KEEP_RUNS_DAYS": (int, 90),
    "SYNC_KEEP_CHANGES_DAYS": (int, 180),
    "SYNC_KEEP_QUARANTINE_DAYS": (int, 90),
    "LOAD_MAX_ACTIVE_SESSIONS": (int, 0),
    "LOAD_MAX_REPLICATION_LAG_SECONDS": (int, 30),
    "LOAD_MAX_SLOWDOWN": (float, 4.0),
    "LOAD_RDS_INSTANCE": (str, ""),
    "LOAD_RDS_MAX_CPU_PERCENT": (int, 80),
    "LOAD_WHEN_UNREADABLE": (str, "proceed"),
    "LOAD_SHARE_PERCENT": (int, 0),
    "AWS_REGION": (str, "eu-central-1"),
    "POLLY_ENGINE": (str, "neural"),
    "POLLY_VOICE_HOST": (str, "Matthew"),
    "POLLY_VOICE_GUEST": (str, "Joanna"),
    "POLLY_MAX_PARALLEL": (int, 8),
    "POLLY_USD_PER_MILLION_CHARS": (Decimal, Decimal(16)),
}

env = environ.Env(**VARIABLES)
if (ROOT / ".env").is_file():
    environ.Env.read_env(ROOT / ".env")
