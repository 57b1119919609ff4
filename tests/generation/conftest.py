from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.generation import stub_speech, stub_text
from tests.generation.stub_text import StubText


@pytest.fixture
def stubs(settings: Any, tmp_path: Any) -> Iterator[None]:
    """Both providers are stubs, and files go into a folder of the test's own."""
    settings.GENERATION_TEXT_PROVIDER = stub_text.PATH
    settings.GENERATION_SPEECH_PROVIDER = stub_speech.PATH
    settings.MEDIA_ROOT = tmp_path
    StubText.calls, StubText.on_call = [], None
    yield
    StubText.on_call = None


@pytest.fixture
def other_session(db: None) -> Iterator[Any]:
    """A cursor of another session of the database."""
    session = connection.copy()
    try:
        with session.cursor() as cursor:
            yield cursor
    finally:
        session.close()
