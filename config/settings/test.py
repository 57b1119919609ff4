"""Settings for the test suite."""

from config.settings.base import *  # noqa: F403

SECRET_KEY = "test-key"  # noqa: S105 - not a secret: tests only
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING_CONFIG = None
# Tests swap the database under the connections: importing config.asgi must not pool them.
DATABASE_POOL_SIZE = 0
# The project's default layer, whatever REDIS_URL says: the tests that need Redis ask for it.
CHANNEL_LAYERS = {"default": {"BACKEND": "operations.channel_layer.PostgresChannelLayer"}}

# Tests make legacy databases of their own; a developer's is left alone.
DATABASES = {"default": DATABASES["default"]}  # noqa: F405

# An operation of the kernel's tests' own: the kernel stands without any app.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.operations.toy"]  # noqa: F405
