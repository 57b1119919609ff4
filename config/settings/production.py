"""Settings for production: refuses to start on anything a development machine may have."""

from django.core.exceptions import ImproperlyConfigured

from config.env import INSECURE_SECRET_KEY, ROOT, env

if env("DEBUG"):
    raise ImproperlyConfigured("DEBUG must be off in production: remove DEBUG or set DEBUG=false.")
if env("SECRET_KEY") == INSECURE_SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY still has its development default. Set it to a long random value, for example "
        "from: python -c 'import secrets; print(secrets.token_urlsafe(64))'"
    )
if not env("ALLOWED_HOSTS"):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is empty: list the host names this site answers to, for example "
        "ALLOWED_HOSTS=encore.example.org"
    )
if not env("DATABASE_URL"):
    raise ImproperlyConfigured(
        "DATABASE_URL is empty: the embedded PostgreSQL is for development. "
        "For example DATABASE_URL=postgres://encore:secret@db.example.org:5432/encore"
    )

from config.settings.base import *  # noqa: F403

STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Where `collectstatic` puts them and whitenoise serves them from.
STATIC_ROOT = ROOT / "staticfiles"
WHITENOISE_USE_FINDERS = False
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = env("SECURE_SSL_REDIRECT")
# Probes inside the cluster speak plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = env("SECURE_HSTS_SECONDS")
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
if env("BEHIND_TLS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
