"""Settings for development; test and production start from here."""

import os
import zoneinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.env import ROOT, env
from config.legacy import legacy_database
from config.logging import logging_config

BASE_DIR = ROOT
SECRET_KEY = env("SECRET_KEY")
DEBUG = env("DEBUG")
ALLOWED_HOSTS: list[str] = env("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS: list[str] = env("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "daphne",
    "config",
    "content",
    "operations",
    "duplication",
    "generation",
    "migrationsync",
    "migrationsync.dispatch",
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_q",
    "waffle",
    "csp",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.null_characters.NullCharactersMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------
# PostgreSQL only. Without DATABASE_URL the embedded server of the development
# dependencies is started (and stopped with its last user).


def database() -> dict[str, Any]:
    url = env("DATABASE_URL")
    if not url:
        from config import embedded_postgres

        url = embedded_postgres.ensure_running()
    config = env.db_url_config(url)
    config["ENGINE"] = "django.db.backends.postgresql"
    # A socket's folder has no place in a URL but as a parameter; dbshell looks for it in HOST.
    config["HOST"] = config.setdefault("OPTIONS", {}).pop("host", config["HOST"])
    # A worker keeps its connection (field: 21-25 tasks/s without, 130-230 with);
    # the web process pools instead, see config.asgi.
    config["CONN_MAX_AGE"] = 600
    config["CONN_HEALTH_CHECKS"] = True
    # A server that vanished is found out in seconds, not after the kernel's quarter of an hour.
    config["OPTIONS"] = {
        "application_name": "encore",
        "connect_timeout": 5,
        "tcp_user_timeout": 30_000,
        **config["OPTIONS"],
    }
    return config


DATABASES = {"default": database()}
# What is migrated from; it is only read.
if env("LEGACY_DATABASE_URL"):
    DATABASES["legacy"] = legacy_database(env("LEGACY_DATABASE_URL"))
DATABASE_ROUTERS = ["config.legacy.LegacyIsNotMigrated"]
DATABASE_POOL_SIZE: int = env("DATABASE_POOL_SIZE")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- queue ------------------------------------------------------------------
# Why each value is what it is: docs/decisions/0004-queue.md
QUEUE_BROKER: str = env("QUEUE_BROKER")
# Only a queue in the operations' own database has "orm": tasks are then part of transactions.
QUEUE_BROKERS: dict[str, dict[str, Any]] = {
    "orm": {"broker_class": "operations.queue.broker.SkipLockedBroker", "orm": "default"},
    "redis": {
        "broker_class": "operations.queue.redis_broker.RedisBroker",
        "redis": env("REDIS_URL"),
    },
    "sqs": {"broker_class": "operations.queue.sqs_broker.SqsBroker"},
}
Q_CLUSTER: dict[str, Any] = {
    # A name that isn't there is refused by a system check, which says what there is.
    **QUEUE_BROKERS.get(QUEUE_BROKER, {}),
    "name": env("QUEUE_NAME"),
    "workers": env("WORKERS"),
    "timeout": env("QUEUE_TASK_TIMEOUT_SECONDS"),
    "retry": env("QUEUE_RETRY_SECONDS"),
    "queue_limit": env("WORKERS"),
    "bulk": 1,
    "poll": 0.1,
    "save_limit": -1,
    "max_attempts": 0,
    "ack_failures": True,
    "catch_up": False,
    "label": "Queue",
    "log_level": "WARNING",
}

# --- channel layer ----------------------------------------------------------
if env("REDIS_URL"):
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [env("REDIS_URL")]},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "operations.channel_layer.PostgresChannelLayer"}}

# --- operations -------------------------------------------------------------
OPERATION_TIME_BUDGET_SECONDS: float = env("OPERATION_TIME_BUDGET_SECONDS")
OPERATION_STEP_TARGET_MS: int = env("OPERATION_STEP_TARGET_MS")
OPERATION_LEASE_SECONDS: int = env("OPERATION_LEASE_SECONDS")
OPERATION_MAX_CONCURRENT_JOBS: int = env("OPERATION_MAX_CONCURRENT_JOBS")
OPERATION_THROTTLE_EXCEPTIONS: int = env("OPERATION_THROTTLE_EXCEPTIONS")
OPERATION_THROTTLE_SECONDS: int = env("OPERATION_THROTTLE_SECONDS")
LOAD_MAX_ACTIVE_SESSIONS: int = env("LOAD_MAX_ACTIVE_SESSIONS")
LOAD_MAX_REPLICATION_LAG_SECONDS: int = env("LOAD_MAX_REPLICATION_LAG_SECONDS")
LOAD_MAX_SLOWDOWN: float = env("LOAD_MAX_SLOWDOWN")
LOAD_RDS_INSTANCE: str = env("LOAD_RDS_INSTANCE")
LOAD_RDS_MAX_CPU_PERCENT: int = env("LOAD_RDS_MAX_CPU_PERCENT")
LOAD_WHEN_UNREADABLE: str = env("LOAD_WHEN_UNREADABLE")
LOAD_SHARE_PERCENT: int = env("LOAD_SHARE_PERCENT")
AWS_REGION: str = env("AWS_REGION")
POLLY_ENGINE: str = env("POLLY_ENGINE")
POLLY_VOICE_HOST: str = env("POLLY_VOICE_HOST")
POLLY_VOICE_GUEST: str = env("POLLY_VOICE_GUEST")
POLLY_MAX_PARALLEL: int = env("POLLY_MAX_PARALLEL")
POLLY_USD_PER_MILLION_CHARS: Decimal = env("POLLY_USD_PER_MILLION_CHARS")
OPERATION_KEEP_EVENTS_DAYS: int = env("OPERATION_KEEP_EVENTS_DAYS")
DUPLICATION_LANES: int = env("DUPLICATION_LANES")
DUPLICATION_KEEP_ID_MAP_DAYS: int = env("DUPLICATION_KEEP_ID_MAP_DAYS")
DUPLICATION_KEEP_FAILED_DAYS: int = env("DUPLICATION_KEEP_FAILED_DAYS")
DUPLICATION_PREVIEW_SECONDS: float = env("DUPLICATION_PREVIEW_SECONDS")

# --- generation -------------------------------------------------------------
GENERATION_TEXT_PROVIDER: str = env("GENERATION_TEXT_PROVIDER")
GENERATION_SPEECH_PROVIDER: str = env("GENERATION_SPEECH_PROVIDER")
GENERATION_MAX_USD_PER_GENERATION: Decimal = env("GENERATION_MAX_USD_PER_GENERATION")
GENERATION_MAX_USD_PER_DAY: Decimal = env("GENERATION_MAX_USD_PER_DAY")
GENERATION_CACHE_MAX_BYTES: int = env("GENERATION_CACHE_MAX_BYTES")
GENERATION_CACHE_MAX_DAYS: int = env("GENERATION_CACHE_MAX_DAYS")
GENERATION_KEEP_REPLACED_AUDIO_DAYS: int = env("GENERATION_KEEP_REPLACED_AUDIO_DAYS")
OPENAI_API_KEY: str = env("OPENAI_API_KEY")
OPENAI_BASE_URL: str = env("OPENAI_BASE_URL")
OPENAI_TEXT_MODEL: str = env("OPENAI_TEXT_MODEL")
OPENAI_SPEECH_MODEL: str = env("OPENAI_SPEECH_MODEL")
OPENAI_USD_PER_MILLION_TOKENS_IN: Decimal = env("OPENAI_USD_PER_MILLION_TOKENS_IN")
OPENAI_USD_PER_MILLION_TOKENS_OUT: Decimal = env("OPENAI_USD_PER_MILLION_TOKENS_OUT")
OPENAI_USD_PER_MILLION_CHARS: Decimal = env("OPENAI_USD_PER_MILLION_CHARS")
OPENAI_MAX_PARALLEL: int = env("OPENAI_MAX_PARALLEL")
OPENAI_TIMEOUT_SECONDS: float = env("OPENAI_TIMEOUT_SECONDS")

# --- migration and sync -----------------------------------------------------
SYNC_MAPPING_CACHE_SIZE: int = env("SYNC_MAPPING_CACHE_SIZE")
SYNC_REPORT_EXPIRES_HOURS: int = env("SYNC_REPORT_EXPIRES_HOURS")
SYNC_KEEP_RUNS_DAYS: int = env("SYNC_KEEP_RUNS_DAYS")
SYNC_KEEP_CHANGES_DAYS: int = env("SYNC_KEEP_CHANGES_DAYS")
SYNC_KEEP_QUARANTINE_DAYS: int = env("SYNC_KEEP_QUARANTINE_DAYS")

# A switch that nobody created yet is on: a fresh installation works. Its row is
# read from the database each time, so that flipping it reaches every process.
WAFFLE_SWITCH_DEFAULT = True
WAFFLE_CREATE_MISSING_SWITCHES = True
WAFFLE_CACHE_NAME = "uncached"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "uncached": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}

# --- API --------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.api.parsers.BoundedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "config.api.pagination.NewestFirstPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api.problems.problem_details",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Encore",
    "DESCRIPTION": "Duplicate, generate and migrate: long-running operations over content.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    # Fields of one name with other choices each.
    "ENUM_NAME_OVERRIDES": {
        "EpisodeStatus": "content.models.Episode.Status",
        "OperationStatus": "operations.models.Operation.Status",
        "MediaFileStatus": "duplication.models.MediaFile.Status",
        "DriftFindingState": "duplication.models.DriftFinding.State",
        "SegmentState": "generation.models.GenerationSegment.State",
        "SyncDecision": "migrationsync.api.serializers.selection.DECISIONS",
        "SyncRecordState": "migrationsync.models.DifferentialRecord.State",
        "SyncStrategy": "migrationsync.models.differentials.Strategy",
        "SyncValidationType": "migrationsync.models.MigrationValidationReport.Type",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.api.schema.document_problems",
    ],
}

# --- people, language, time ---------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
LANGUAGE_CODE = "en-us"
TIME_ZONE = env("TIME_ZONE")
try:
    zoneinfo.ZoneInfo(TIME_ZONE)
except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
    raise ImproperlyConfigured(
        f"TIME_ZONE is “{TIME_ZONE}”: name a time zone as the IANA does, for example "
        "Europe/Berlin or UTC."
    ) from error
USE_TZ = True

# --- files ------------------------------------------------------------------
STATIC_URL = "static/"
# Found where they lie; production collects them.
STATIC_ROOT: Path | None = None
MEDIA_ROOT = BASE_DIR / env("MEDIA_ROOT")
MEDIA_URL = "media/"
AWS_COPY_MAX_BYTES: int = env("AWS_COPY_MAX_BYTES")


def media_storage() -> dict[str, Any]:
    bucket = env("AWS_STORAGE_BUCKET_NAME")
    if not bucket:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    from botocore.config import Config

    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "location": env("AWS_LOCATION"),
            "region_name": AWS_REGION,
            # A private bucket: no ACLs, and only signed URLs that expire.
            "default_acl": None,
            "querystring_auth": True,
            "file_overwrite": False,
            "client_config": Config(
                signature_version="s3v4",
                # All tries of a request together take less than a lease.
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=3,
                read_timeout=15,
                max_pool_connections=40,
            ),
        },
    }


def media_origins() -> list[str]:
    """Where signed URLs of the bucket lead to, besides ourselves: whoever plays from there needs
    its permission in the Content-Security-Policy."""
    bucket = env("AWS_STORAGE_BUCKET_NAME")
    if not bucket:
        return []
    # As boto3 chooses: an endpoint of one's own, else a host for each bucket, unless its name
    # has dots, which no certificate covers. Amazon may redirect from the one to the region's.
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        address = urlsplit(endpoint)
        return [f"{address.scheme}://{address.netloc}"]
    host = "" if "." in bucket else f"{bucket}."
    return [
        f"https://{host}s3.amazonaws.com",
        *([f"https://{host}s3.{AWS_REGION}.amazonaws.com"] if AWS_REGION else []),
    ]


STORAGES: dict[str, Any] = {
    "default": media_storage(),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# The largest body of a form or an API request; above it the API answers 413. Documents have a
# limit of their own (content.documents.format) of the same size.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024

# --- security ---------------------------------------------------------------
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "media-src": ["'self'", *media_origins()],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- observability ----------------------------------------------------------
OTEL_EXPORTER_OTLP_ENDPOINT: str = env("OTEL_EXPORTER_OTLP_ENDPOINT")
LOGGING = logging_config(level=env("LOG_LEVEL"), style=env("LOG_FORMAT"))
