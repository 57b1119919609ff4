"""An episode's audio in Chromium, from our own address: it plays and seeks, as published."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from content.models import Episode
from tests import needs
from tests.browser.conftest import Browser, Serve
from tests.factories.content import UserFactory
from tests.generation import stub_speech
from tests.generation.making import generate, make_episode

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

LOAD = """url => new Promise((resolve, reject) => {
    window.audio = new Audio(url);
    window.audio.muted = true;
    window.audio.onerror = () => reject(window.audio.error.message);
    window.audio.oncanplay = () => resolve(window.audio.duration);
})"""
SEEK_AND_PLAY = """seconds => new Promise((resolve, reject) => {
    window.audio.ontimeupdate = () => {
        if (!window.audio.seeking && window.audio.currentTime > seconds)
            resolve(window.audio.currentTime);
    };
    window.audio.currentTime = seconds;
    window.audio.play().catch(reject);
})"""


@pytest.fixture
def author() -> User:
    return UserFactory(username="olga")


def test_audio_of_an_episode_plays_and_seeks(
    browser: Browser, serve: Serve, author: User, settings: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.GENERATION_SPEECH_PROVIDER = stub_speech.PATH
    monkeypatch.setenv("MEDIA_ROOT", str(settings.MEDIA_ROOT))
    monkeypatch.setenv("STUB_SPEECH_SOUND_SECONDS", "30")
    serve()
    texts = [f"This is the sentence with number {number}." for number in range(12)]
    generation = generate(make_episode(*texts, owner=author))
    assert generation.status == "completed", generation.error_message
    url = Episode.objects.get().audio_url

    page = browser.tab(author, "/my/episodes")
    answered: list[tuple[str, int]] = []
    page.on("response", lambda response: answered.append((response.url, response.status)))
    seconds = page.evaluate(LOAD, url)
    assert seconds * 1000 == pytest.approx(generation.audio_duration_ms, abs=60)
    for place in (0.9, 0.1, 0.5):
        assert page.evaluate(SEEK_AND_PLAY, seconds * place) >= seconds * place
    assert {status for asked, status in answered if asked.endswith(url)} == {206}
