"""Generation in the admin, in a real browser: starting, watching, and what it all cost."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright import sync_api as playwright

from content.models import Episode
from content.synthetic import make_episode
from generation.models import AudioCache, GenerationJob, GenerationMetrics
from tests import needs
from tests.browser.conftest import Browser, Serve, appears, is_shown, shoot
from tests.factories.content import BlockFactory, EpisodeFactory
from tests.factories.generation import make_generation

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

EPISODES = "/admin/content/episode/"
LIST = "/admin/generation/generationjob/"
METRICS = "/admin/generation/generationmetrics/"
CACHE = "/admin/generation/audiocache/"
LONG_TITLE = "The long way home: a season about trains and who waited for them"


@pytest.fixture(autouse=True)
def server(serve: Serve, settings: Any) -> Any:
    return serve()


def page_of(generation: GenerationJob) -> str:
    return reverse("admin:generation_generationjob_change", args=[generation.pk])


def start_url(*episodes: Episode) -> str:
    return f"{LIST}start/?ids={','.join(str(each.pk) for each in episodes)}"


def test_episodes_are_generated_from_their_list(browser_page: Any, admin: User) -> None:
    page = browser_page
    episodes = [make_episode(parts=1, items=1, blocks=2, title=f"Tea {n}") for n in range(2)]
    page.goto(EPISODES)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label="Generate audio")
    page.get_by_role("button", name="Go").click()
    appears(page, "The audio of these 2 episodes will be made")
    page.get_by_role("button", name="Generate the audio of 2 episodes").click()
    appears(page, "Started 2 generations")
    assert {each.episode for each in GenerationJob.objects.all()} == set(episodes)


def test_figures_for_another_voice_are_shown_before_anything_starts(
    browser_page: Any, admin: User
) -> None:
    page = browser_page
    generation = make_generation(requested_by=admin)
    page.goto(page_of(generation))
    page.get_by_role("link", name="From the audio…").click()
    playwright.expect(page.get_by_label("The audio: for another voice")).to_be_checked()
    page.get_by_label("Voice of the host").fill("en-gb")
    page.get_by_role("button", name="Generate audio").click()
    appears(page, "Nothing is started yet")
    assert page.get_by_label("Voice of the host").input_value() == "en-gb"
    page.get_by_role("button", name="Generate audio").click()
    appears(page, "Started Generation")
    newest = GenerationJob.objects.first()
    assert newest is not None
    assert (newest.from_stage, newest.voices["host"]) == ("audio", "en-gb")


def test_start_page_is_used_by_keyboard_and_without_javascript(
    browser: Browser, admin: User
) -> None:
    episode = make_episode(parts=1, items=1, blocks=2)
    page = browser.tab(admin, start_url(episode), scripts=False)
    page.get_by_label("Speed").focus()
    page.keyboard.type("1.5")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Estimate again").press("Enter")
    playwright.expect(page.get_by_label("Speed")).to_have_value("1.5")
    playwright.expect(page.get_by_label("Stop before the audio")).to_be_checked()
    page.get_by_role("button", name="Generate audio").press("Enter")
    appears(page, "Started Generation")
    newest = GenerationJob.objects.get()
    assert (newest.speed, newest.stop_before_audio) == (1.5, True)


def test_episode_page_leads_to_its_generations(browser_page: Any, admin: User) -> None:
    page = browser_page
    generation = make_generation(requested_by=admin)
    make_generation()
    page.goto(f"{EPISODES}{generation.episode_id}/change/")
    is_shown(page.locator(".episode-audio audio"))
    page.get_by_role("link", name="all generations of this episode").click()
    playwright.expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_metrics_are_narrowed_to_days_and_keep_their_filter(browser_page: Any) -> None:
    page = browser_page
    spent(EpisodeFactory())
    page.goto(METRICS)
    is_shown(page.get_by_role("img", name=re.compile("Cost by day")))
    page.get_by_role("link", name="Dialogue", exact=True).click()
    first = (timezone.now() - dt.timedelta(days=6)).date().isoformat()
    page.get_by_label("From", exact=True).fill(first)
    page.get_by_role("button", name="Show").click()
    assert "type__exact=dialogue" in page.url
    assert f"since={first}" in page.url
    playwright.expect(page.locator("#by-type-heading ~ * tbody tr")).to_have_count(1)
    playwright.expect(page.locator("#by-day-heading ~ * .bar")).to_have_count(7)


# --- how they look ---------------------------------------------------------------------


def spent(episode: Episode) -> None:
    """Metrics of four weeks, some of each sort."""
    now = timezone.now()
    GenerationMetrics.objects.bulk_create(
        GenerationMetrics(
            episode=episode,
            type=("solo", "solo", "dialogue")[number % 3],
            outcome=("completed", "completed", "completed", "failed")[number % 4],
            text_provider="openai" if number % 2 else "offline",
            speech_provider=("openai", "polly", "offline")[number % 3],
            tokens_in=12_000 + 310 * number,
            tokens_out=2_000 + 57 * number,
            tts_chars_used=9_000 + (number * 7919) % 15_000,
            chars_cached=(number * 104_729) % 22_000,
            estimated_cost=Decimal((number * 7919) % 41) / 10,
            actual_duration=20 + (number * 13) % 90,
            audio_seconds=300 + (number * 131) % 1700,
            created_at=now - dt.timedelta(hours=39 * number),
        )
        for number in range(16)
    )


def test_lists_look_as_they_should(browser_page: Any, admin: User) -> None:
    page = browser_page
    page.goto(LIST)
    shoot(page, "generations-empty")
    make_generation(requested_by=admin, title=LONG_TITLE)
    make_generation(requested_by=admin, title="Failed", at="audio", status="failed")
    make_generation(
        requested_by=admin,
        title="Waits",
        at="audio",
        status="in_progress",
        waiting_reason="openai is busy: 429, come again in 20 s.",
        waiting_since=timezone.now(),
        waiting_until=timezone.now() + dt.timedelta(seconds=20),
    )
    make_generation(requested_by=admin, title="Paused", at="audio", status="paused")
    make_generation(requested_by=admin, title="Just begun", at="outline", status="pending")
    page.goto(LIST)
    shoot(page, "generations")


@pytest.mark.parametrize(
    ("name", "at", "status"),
    [
        ("completed", "upload", "completed"),
        ("failed", "audio", "failed"),
        ("running", "audio", "in_progress"),
    ],
)
def test_pages_look_as_they_should(
    browser_page: Any, admin: User, name: str, at: str, status: str
) -> None:
    generation = make_generation(
        requested_by=admin, title=LONG_TITLE, at=at, status=status, dialogue=True, blocks=8
    )
    browser_page.goto(page_of(generation))
    shoot(browser_page, f"generation-{name}")


def test_start_pages_look_as_they_should(browser_page: Any, admin: User) -> None:
    page = browser_page
    done = make_generation(requested_by=admin, title=LONG_TITLE, dialogue=True)
    item = done.episode.parts.first().items.first()
    BlockFactory(item=item, field_2="", name="A picture without words")
    page.goto(start_url(done.episode))
    shoot(page, "generation-start-one")
    others = [
        make_episode(parts=2, items=2, blocks=4, title="A season about tea", owner=admin),
        make_generation(at="audio", status="in_progress", title="Under way").episode,
        EpisodeFactory(title="Nothing in it"),
        make_episode(parts=1, items=1, blocks=1, title="Short"),
    ]
    page.goto(start_url(done.episode, *others))
    shoot(page, "generation-start-many")


def test_episode_page_looks_as_it_should(browser_page: Any, admin: User) -> None:
    generation = make_generation(requested_by=admin, title=LONG_TITLE)
    browser_page.goto(f"{EPISODES}{generation.episode_id}/change/")
    shoot(browser_page, "generation-on-episode")


def test_metrics_look_as_they_should(browser_page: Any) -> None:
    browser_page.goto(METRICS)
    shoot(browser_page, "generation-metrics-empty")
    spent(EpisodeFactory(title=LONG_TITLE))
    browser_page.goto(METRICS)
    shoot(browser_page, "generation-metrics")


def test_cache_looks_as_it_should(browser_page: Any) -> None:
    page = browser_page
    page.goto(CACHE)
    shoot(page, "generation-cache-empty")
    for number in range(12):
        made = number != 3
        AudioCache.objects.create(
            cache_key=hashlib.sha256(str(number).encode()).hexdigest(),
            state="ready" if made else "making",
            audio_name=f"cache/{number}.mp3" if made else "",
            audio_bytes=31_000 + 977 * number if made else 0,
            checksum="0" * 64 if made else "",
            duration_ms=4_000 + 913 * number,
            parameters={"provider": "polly", "model": "neural", "voice": "Joanna", "speed": 1.0},
            usage_count=1 + number * number,
            last_used_at=timezone.now() - dt.timedelta(hours=7 * number),
        )
    page.goto(CACHE)
    shoot(page, "generation-cache")
    page.locator("#result_list th a").first.click()
    shoot(page, "generation-cache-one")
