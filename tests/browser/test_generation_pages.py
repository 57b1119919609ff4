"""The pages of generation in a real browser: from an episode to its audio, heard and edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright import sync_api as playwright

from content.models import Block
from content.synthetic import make_episode
from generation.models import GenerationJob, GenerationSegment
from generation.services import edit_script, start_generation
from operations import events
from tests import needs
from tests.browser.conftest import Browser, Serve, appears, button, is_shown, shoot, shows
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import BlockFactory, UserFactory
from tests.factories.generation import make_generation
from tests.generation import stub_speech
from tests.processes import wait_until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True),
    needs.chromium,
]

STATE = ".headline [data-show=state]"


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for the test and the server."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    monkeypatch.setenv("MEDIA_ROOT", settings.MEDIA_ROOT)


@pytest.fixture(autouse=True)
def server(media: None, serve: Serve) -> Any:
    return serve()


@pytest.fixture
def author() -> User:
    return UserFactory(username="olga", permissions=["add_generationjob", "add_duplication"])


def step(page: Any, name: str) -> Any:
    return page.locator(f"[data-step={name}]")


def is_in_state(page: Any, name: str, state: str) -> None:
    playwright.expect(step(page, name)).to_have_attribute("data-state", state, timeout=30_000)


def is_current(locator: Any, expected: bool = True) -> None:
    assertion = playwright.expect(locator)
    if expected:
        assertion.to_have_attribute("aria-current", "true")
    else:
        assertion.not_to_have_attribute("aria-current", "true")


# --- progress ---------------------------------------------------------------------------------


def test_author_starts_and_watches_outline_and_script_appear(
    browser: Browser, author: User
) -> None:
    make_episode(parts=2, items=1, blocks=3, title="Springtime", owner=author)
    page = browser.tab(author, "/my/episodes")
    page.get_by_role("link", name="Generate audio of “Springtime”").click()
    appears(page, "What to expect")
    page.get_by_label("Stop when the script is there").check()
    page.get_by_role("button", name="Generate audio").click()
    shows(page, "h1", "Springtime")
    shows(page, "[data-feed=link]", "Live")
    generation = GenerationJob.objects.get()

    run_stage(generation, "outline")
    is_in_state(page, "outline", "done")
    is_in_state(page, "script", "current")
    # By the stages' weights, although their rows are of different units.
    shows(page, "[data-feed=percent]", "5 %")
    is_shown(page.locator(".outline"))
    is_shown(page.locator(".script"), expected=False)

    run_to_end(generation)
    is_in_state(page, "script", "done")
    is_in_state(page, "audio", "paused")
    shows(page, "[data-feed=percent]", "25 %")
    is_shown(page.locator(".script"))
    shows(page, STATE, "Paused")
    appears(page, "The script is ready")
    is_shown(button(page, "resume"))
    is_shown(page.get_by_role("link", name="Edit the script").first)


def test_segments_fill_live(browser: Browser, author: User) -> None:
    generation = make_generation(
        at="audio", status="in_progress", requested_by=author, blocks=5, said=2
    )
    page = browser.tab(author, generation.get_absolute_url())
    shows(page, "[data-feed=link]", "Live")
    made = page.locator(".segment-grid [data-state=made]")
    playwright.expect(made).to_have_count(2)
    GenerationSegment.objects.filter(generation=generation, number__lte=5).update(state="made")
    playwright.expect(made).to_have_count(5)


def test_audio_is_made_while_one_watches_and_can_be_heard(
    browser: Browser, author: User, settings: Any
) -> None:
    settings.GENERATION_SPEECH_PROVIDER = stub_speech.PATH
    episode = make_episode(parts=2, items=1, blocks=3, title="Springtime", owner=author)
    generation = start_generation(episode_id=episode.pk, requested_by=author).generation
    page = browser.tab(author, generation.get_absolute_url())
    shows(page, "[data-feed=link]", "Live")
    run_stage(generation, "script")
    is_in_state(page, "audio", "current")
    run_stage(generation, "audio")
    is_in_state(page, "upload", "current")
    pieces = page.locator(".segment-grid > span")
    playwright.expect(pieces).to_have_count(generation.segments.count())
    is_shown(page.locator("episode-player"), expected=False)

    run_to_end(generation)

    is_in_state(page, "completed", "done")
    shows(page, STATE, "Completed")
    appears(page, "Your audio is ready")
    is_ready(page)
    page.locator(".transcript .moment").last.click()
    is_current(page.locator(".transcript li").last)
    playwright.expect(page.locator("episode-player audio")).to_have_js_property("ended", True)


def test_failure_marks_its_step_and_says_why(browser: Browser, author: User) -> None:
    generation = make_generation(
        at="audio",
        status="failed",
        requested_by=author,
        error="The provider has no voice “nobody”. Choose another voice.",
    )
    page = browser.tab(author, generation.get_absolute_url())
    is_in_state(page, "script", "done")
    is_in_state(page, "audio", "failed")
    is_in_state(page, "upload", "todo")
    playwright.expect(step(page, "audio")).to_contain_text("Failed")
    playwright.expect(step(page, "audio")).to_contain_text("no voice “nobody”")
    playwright.expect(step(page, "audio")).to_have_attribute("aria-current", "step")
    is_shown(button(page, "retry"))
    page.get_by_role("link", name="From the audio…").click()
    appears(page, "Used again: Outline and script")
    is_shown(page.get_by_label("The host's voice"))


def test_author_pauses_with_the_keyboard_and_resumes(browser: Browser, author: User) -> None:
    episode = make_episode(parts=1, items=1, blocks=2, title="Water", owner=author)
    generation = start_generation(episode_id=episode.pk, requested_by=author).generation
    page = browser.tab(author, generation.get_absolute_url())
    shows(page, "[data-feed=link]", "Live")
    button(page, "pause").focus()
    page.keyboard.press("Enter")
    shows(page, STATE, "Paused")
    is_in_state(page, "outline", "paused")
    button(page, "resume").focus()
    page.keyboard.press("Enter")
    is_in_state(page, "outline", "current")


# --- listening --------------------------------------------------------------------------------


@pytest.fixture
def heard(browser: Browser, author: User) -> Any:
    """The page of a finished one, its player ready, its segments half a second long."""
    generation = make_generation(requested_by=author, parts=2, blocks=4, dialogue=True)
    page = browser.tab(author, generation.get_absolute_url())
    is_ready(page)
    return page


def is_ready(page: Any) -> None:
    audio = page.locator("episode-player audio")
    wait_until(lambda: audio.evaluate("audio => audio.readyState >= 1"), "it knows its length")


def now(page: Any) -> float:
    return float(page.evaluate("document.querySelector('episode-player audio').currentTime"))


def said(page: Any, index: int) -> Any:
    return page.locator(".transcript li").nth(index)


def test_player_plays_to_the_end_and_the_transcript_follows(heard: Any) -> None:
    length = heard.evaluate("document.querySelector('episode-player audio').duration")
    assert length > 1
    said(heard, 0).locator(".moment").click()
    last = heard.locator(".transcript li").last
    is_current(last)
    is_current(said(heard, 0), expected=False)
    assert heard.locator(".transcript [aria-current]").count() == 1
    is_current(heard.locator(".audio-chapters li").last)
    playwright.expect(heard.locator("episode-player audio")).to_have_js_property("ended", True)
    assert now(heard) == pytest.approx(length, abs=0.1)


def test_player_seeks_by_chapter_by_segment_and_by_words(heard: Any) -> None:
    heard.evaluate("document.querySelector('episode-player audio').play = async () => {}")
    chapter = heard.locator(".audio-chapters li").nth(1)
    chapter.locator("a").click()
    start = int(chapter.get_attribute("data-start-ms")) / 1000
    assert now(heard) == pytest.approx(start, abs=0.01)
    is_current(chapter)
    is_current(heard.locator(f".transcript li[data-start-ms='{round(start * 1000)}']"))

    said(heard, 2).locator(".words").click()
    assert now(heard) == pytest.approx(
        int(said(heard, 2).get_attribute("data-start-ms")) / 1000, abs=0.01
    )
    is_current(said(heard, 2))
    is_current(heard.locator(".audio-chapters li").first)


def test_transcript_goes_by_the_keyboard(heard: Any) -> None:
    heard.evaluate("document.querySelector('episode-player audio').play = async () => {}")
    links = heard.locator(".transcript .moment")
    assert heard.locator(".transcript .moment[tabindex='0']").count() == 1
    links.first.focus()
    heard.keyboard.press("ArrowDown")
    heard.keyboard.press("ArrowDown")
    playwright.expect(links.nth(2)).to_be_focused()
    heard.keyboard.press("Enter")
    is_current(said(heard, 2))
    heard.keyboard.press("End")
    playwright.expect(links.last).to_be_focused()


def test_transcript_of_many_pages_turns_to_the_one_that_is_heard(
    browser: Browser, author: User
) -> None:
    generation = make_generation(requested_by=author, parts=2, blocks=160)
    assert generation.segments.count() > 200
    page = browser.tab(author, generation.get_absolute_url())
    is_ready(page)
    page.evaluate("document.querySelector('episode-player audio').play = async () => {}")
    last = generation.segments.order_by("number").last()
    assert page.get_by_text(last.text).locator("visible=true").count() == 0

    page.evaluate(
        "(seconds) => { document.querySelector('episode-player audio').currentTime = seconds }",
        last.start_ms / 1000 + 0.05,
    )

    heard = page.locator(".transcript li[aria-current=true]")
    playwright.expect(heard).to_contain_text(last.text)
    page.locator(".audio-chapters a").first.click()
    playwright.expect(heard).to_contain_text(generation.segments.order_by("number")[0].text)


def test_page_without_javascript_plays_and_reads(browser: Browser, author: User) -> None:
    generation = make_generation(requested_by=author)
    page = browser.tab(author, generation.get_absolute_url(), scripts=False)
    is_shown(page.locator("episode-player audio[controls]"))
    is_shown(page.locator(".transcript li").first)
    target = page.locator(".audio-chapters a").nth(1).get_attribute("href")
    assert target.startswith(f"{generation.episode.audio_url}#t=")


# --- editing ------------------------------------------------------------------------------------


def test_author_edits_the_script_before_the_audio(browser: Browser, author: User) -> None:
    generation = make_generation(at="audio", status="paused", requested_by=author, said=0)
    page = browser.tab(author, generation.get_absolute_url())
    page.get_by_role("link", name="Edit the script").first.click()
    page.get_by_label("Turn 1", exact=True).and_(page.locator("textarea")).fill("Welcome!")
    page.get_by_role("button", name="Add a turn after turn 1").click()
    added = page.locator("textarea").nth(1)
    playwright.expect(added).to_be_focused()
    playwright.expect(page.locator("textarea").first).to_have_value("Welcome!")
    appears(page, "Not saved yet")
    page.get_by_role("button", name="Save").click()
    appears(page, "There is nothing to say")
    playwright.expect(page.locator("textarea").nth(1)).to_be_focused()
    page.locator("textarea").nth(1).fill("Here we are.")
    page.get_by_role("button", name="Save").click()
    appears(page, "Saved.")
    generation.refresh_from_db()
    assert [turn["text"] for turn in generation.script["turns"][:2]] == [
        "Welcome!",
        "Here we are.",
    ]
    is_shown(button(page, "resume"))


def test_leaving_the_editor_unsaved_asks_first(browser: Browser, author: User) -> None:
    generation = make_generation(at="audio", status="paused", requested_by=author, said=0)
    page = browser.tab(author, reverse("my-generation-script", args=[generation.pk]))
    asked = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.locator("textarea").first.type("Not saved. ")
    page.get_by_role("link", name="Leave the editor").click()
    shows(page, "h1", "Springtime")
    assert asked == ["beforeunload"]


def test_editor_shows_both_when_somebody_else_was_quicker(browser: Browser, author: User) -> None:
    generation = make_generation(at="audio", status="paused", requested_by=author, said=0)
    page = browser.tab(author, reverse("my-generation-script", args=[generation.pk]))
    theirs = [dict(turn) for turn in generation.script["turns"]]
    theirs[0]["text"] = "Their words."
    edit_script(generation, {"turns": theirs}, version=0, by=None)
    page.locator("textarea").first.fill("My words.")
    page.get_by_role("button", name="Save").click()
    appears(page, "Somebody else edited")
    appears(page, "Their words.")
    playwright.expect(page.locator("textarea").first).to_have_value("My words.")
    shoot(page, "user-generation-conflict")


def test_editor_without_javascript_edits_and_moves(browser: Browser, author: User) -> None:
    generation = make_generation(at="audio", status="paused", requested_by=author, said=0)
    url = reverse("my-generation-script", args=[generation.pk])
    page = browser.tab(author, url, scripts=False)
    first = page.locator("textarea").first.input_value()
    page.get_by_role("button", name="Down").first.click()
    playwright.expect(page.locator("textarea").nth(1)).to_have_value(first)
    page.get_by_role("button", name="Save").click()
    generation.refresh_from_db()
    assert generation.script["turns"][1]["text"] == first


# --- how it looks ---------------------------------------------------------------------------------


def test_pages_look_well(browser: Browser, author: User) -> None:
    running = make_generation(
        at="audio", status="in_progress", requested_by=author, blocks=60, title="Water and life"
    )
    failed = make_generation(
        at="audio", status="failed", requested_by=author, title="The bells of the old town"
    )
    done = make_generation(
        requested_by=author, dialogue=True, parts=4, blocks=6, title="Springtime in the garden"
    )
    again = make_generation(
        at="script", status="cancelled", requested_by=author, title="Winter", from_stage="script"
    )
    paused = make_generation(
        at="audio",
        status="paused",
        requested_by=author,
        dialogue=True,
        said=0,
        title="A talk by the sea",
        stop_before_audio=True,
    )
    events.append(paused, "feedback", stage="outline", payload={"message": "Read."})
    survey = BlockFactory(
        item=Block.objects.filter(item__part__episode=done.episode)[0].item,
        name="How did you like it?",
        field_1="survey",
    )
    page = browser.tab(author)
    for name, path in (
        ("list", "/my/generations"),
        ("running", running.get_absolute_url()),
        ("failed", failed.get_absolute_url()),
        ("completed", done.get_absolute_url()),
        ("cancelled", again.get_absolute_url()),
        ("paused", paused.get_absolute_url()),
        ("start", reverse("my-episode-generate", args=[survey.item.part.episode_id])),
        ("editor", reverse("my-generation-script", args=[paused.pk]) + "?chapter=2"),
        ("episodes", "/my/episodes"),
    ):
        page.goto(path)
        if page.locator("progress-feed").count():
            playwright.expect(page.locator("[data-feed=link]").first).not_to_be_empty()
        if name == "completed":
            page.evaluate("document.querySelector('episode-player audio').play = async () => {}")
            page.locator(".transcript .moment").nth(2).click()
            is_current(said(page, 2))
        shoot(page, f"user-generation-{name}")
    shoot(browser.tab(UserFactory(), "/my/generations"), "user-generation-list-empty")
