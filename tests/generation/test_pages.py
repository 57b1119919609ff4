"""What people who make content see of their audio: start, progress, editing, in plain words."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from content.models import Block, Episode
from content.synthetic import make_episode
from generation.models import GenerationJob, GenerationSegment
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.factories.generation import make_generation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def author():
    """No staff: who makes content and may have it spoken."""
    return UserFactory(username="olga", permissions=["add_generationjob"])


@pytest.fixture
def client(author):
    client = Client()
    client.force_login(author)
    return client


@pytest.fixture
def episode(author):
    return make_episode(parts=2, items=1, blocks=2, title="Springtime", owner=author)


def text(response):
    return " ".join(response.content.decode().split())


def page_of(client, generation, **parameters):
    response = client.get(generation.get_absolute_url(), parameters)
    assert response.status_code == 200
    return response


def states(response):
    return {step.name: step.state for step in response.context["stepper"]}


# --- who ----------------------------------------------------------------------------------


def test_pages_lead_who_is_not_logged_in_to_the_log_in(author):
    generation = make_generation(at="script", status="paused", requested_by=author)
    for url in (
        reverse("my-generations"),
        generation.get_absolute_url(),
        reverse("my-generation-script", args=[generation.pk]),
        reverse("my-episode-generate", args=[generation.episode_id]),
    ):
        assert Client().get(url)["Location"] == f"/login?next={url}"


def test_somebody_elses_generation_is_not_found(client):
    generation = make_generation(at="audio", status="paused", requested_by=UserFactory())
    assert client.get(generation.get_absolute_url()).status_code == 404
    assert client.get(reverse("my-generation-script", args=[generation.pk])).status_code == 404
    assert generation.episode.title not in text(client.get("/my/generations"))


def test_somebody_elses_episode_is_not_found(client):
    url = reverse("my-episode-generate", args=[EpisodeFactory().pk])
    assert client.get(url).status_code == 404
    assert client.post(url).status_code == 404


# --- my audio -----------------------------------------------------------------------------------


def test_my_audio_without_any_says_how_to_begin(client):
    page = text(client.get("/my/generations"))
    assert "You have had no audio made yet" in page
    assert 'aria-current="page">My audio' in page


def test_my_audio_tells_state_cost_and_length(client, author):
    made = make_generation(requested_by=author, title="Winter", cost=Decimal("0.5"))
    make_generation(
        at="audio", status="failed", requested_by=author, title="Bells", error="It was refused."
    )
    page = text(client.get("/my/generations"))
    assert "Winter" in page
    assert f"0:0{made.audio_duration_ms // 1000} to listen to" in page
    assert "$0.50" in page
    assert "It was refused." in page
    assert "/retry" in page


def test_my_audio_costs_the_same_queries_for_many(client, author, django_assert_max_num_queries):
    for number in range(6):
        make_generation(at="audio", status="paused", requested_by=author, title=f"No {number}")
    with django_assert_max_num_queries(10):
        client.get("/my/generations")


# --- one of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "status", "expected"),
    [
        ("outline", "pending", ["todo", "todo", "todo", "todo", "todo"]),
        ("outline", "in_progress", ["current", "todo", "todo", "todo", "todo"]),
        ("audio", "in_progress", ["done", "done", "current", "todo", "todo"]),
        ("audio", "failed", ["done", "done", "failed", "todo", "todo"]),
        ("upload", "paused", ["done", "done", "done", "paused", "todo"]),
        ("script", "cancelled", ["done", "stopped", "todo", "todo", "todo"]),
        ("upload", "completed", ["done", "done", "done", "done", "done"]),
    ],
)
def test_stepper_marks_where_it_is(client, author, at, status, expected):
    generation = make_generation(at=at, status=status, requested_by=author)
    response = page_of(client, generation)
    assert list(states(response).values()) == expected
    assert text(response).count('aria-current="step"') == any(
        state not in ("todo", "done") for state in expected
    )


def test_stepper_says_the_error_at_the_step_it_happened_in(client, author):
    generation = make_generation(
        at="audio", status="failed", requested_by=author, error="The voice is gone."
    )
    failed = [
        step for step in page_of(client, generation).context["stepper"] if step.state == "failed"
    ]
    assert [(step.name, step.detail) for step in failed] == [("audio", "The voice is gone.")]


def test_stepper_says_what_is_used_again_from_a_stage(client, author):
    generation = make_generation(
        at="audio", status="in_progress", requested_by=author, from_stage="audio"
    )
    assert states(page_of(client, generation))["script"] == "used_again"


def test_stepper_says_what_is_used_again_because_the_words_are_the_same(client, author):
    base = make_generation(requested_by=author)
    generation = make_generation(at="audio", status="in_progress", requested_by=author, base=base)
    found = states(page_of(client, generation))
    assert (found["outline"], found["script"]) == ("used_again", "used_again")


def test_page_shows_outline_and_script_as_far_as_they_are(client, author):
    outlined = page_of(
        client, make_generation(at="script", status="in_progress", requested_by=author)
    )
    assert outlined.context["outline"]
    assert outlined.context["script"] is None
    written = page_of(
        client, make_generation(at="audio", status="in_progress", requested_by=author)
    )
    assert "Part 1" in text(written)
    assert "introduces topic 1" in text(written)


def test_bell_rings_on_while_only_a_hidden_page_shows_the_end(client, author):
    generation = make_generation(requested_by=author)
    url = generation.get_absolute_url()
    seen = []
    for visibility in ("hidden", "visible"):
        client.get(url, headers={"X-Live-Refresh": visibility})
        generation.refresh_from_db()
        seen.append(generation.seen_at is not None)
    assert seen == [False, True]


def test_pages_say_in_plain_words_that_no_worker_runs(client, author):
    generation = make_generation(at="audio", status="in_progress", requested_by=author)
    for page in (page_of(client, generation), client.get("/my/generations")):
        assert "the program that does this work isn't running" in text(page)
        assert "is being made" not in text(page)


def test_page_refreshes_only_while_it_runs(client, author):
    running = make_generation(at="audio", status="in_progress", requested_by=author)
    paused = make_generation(at="audio", status="paused", requested_by=author)
    assert "data-refresh-seconds" in text(page_of(client, running))
    assert "data-refresh-seconds" not in text(page_of(client, paused))


def test_page_counts_segments_and_what_came_from_the_cache(client, author):
    generation = make_generation(
        at="audio", status="in_progress", requested_by=author, blocks=6, said=7, cached_every=3
    )
    found = page_of(client, generation).context["segments"]
    assert (found.made, found.cached, found.said) == (5, 2, 7)
    assert found.total == generation.segments.count()
    assert [cell.state for cell in found.cells][:3] == ["made", "made", "cached"]


@pytest.fixture
def long(client, author):
    """Five thousand segments, and as many turns."""
    generation = make_generation(requested_by=author, parts=1, blocks=1)
    generation.segments.all().delete()
    GenerationSegment.objects.bulk_create(
        GenerationSegment(
            generation=generation,
            number=number,
            chapter=0,
            speaker="host",
            voice="en-us",
            text=f"Words of {number}.",
            cache_key=str(number),
            state="made",
            start_ms=(number - 1) * 1000,
            duration_ms=1000,
        )
        for number in range(1, 5001)
    )
    turns = [
        {"speaker": "host", "chapter": 0, "text": f"Words of {number}."}
        for number in range(1, 5001)
    ]
    generation.script = {"turns": turns, "left_out": []}
    generation.save()
    return generation


def test_page_of_a_long_episode_is_bounded(client, long, django_assert_max_num_queries):
    with django_assert_max_num_queries(30):
        response = page_of(client, long)
    assert len(response.content) < 400_000
    audio, script = response.context["audio"], response.context["script"]
    assert [each.number for each in audio.transcript] == list(range(1, 201))
    assert len(audio.page_starts_ms) == audio.pages.count == 25
    assert len(response.context["segments"].cells) <= 240
    assert script.turns == 5000
    assert sum(len(chapter.turns) for chapter in script.chapters) == 60


def test_page_of_a_long_episode_turns_the_pages(client, long):
    audio = page_of(client, long, transcript="25").context["audio"]
    assert audio.transcript[-1].text == "Words of 5000."
    script = page_of(client, long, script="2").context["script"]
    assert script.chapters[0].turns[0].text == "Words of 61."
    for nonsense in ("0", "-1", "x", "99999999999999999999", "²"):
        assert page_of(client, long, transcript=nonsense, script=nonsense)


def test_player_has_the_episodes_audio_chapters_and_transcript(client, author):
    generation = make_generation(requested_by=author)
    response = page_of(client, generation)
    audio = response.context["audio"]
    assert audio.url == generation.episode.audio_url
    assert [each.title for each in audio.chapters] == ["Part 1", "Part 2"]
    assert audio.chapters[1].start_ms == generation.segments.filter(chapter=1)[0].start_ms > 0
    assert f'src="{generation.episode.audio_url}"' in text(response)


def test_player_is_not_there_for_audio_that_was_replaced(client, author):
    generation = make_generation(requested_by=author)
    Episode.objects.filter(pk=generation.episode_id).update(audio_url="/another.mp3")
    response = page_of(client, generation)
    assert response.context["audio"] is None
    assert "another audio by now" in text(response)


def test_page_tells_the_cost_beside_the_estimate(client, author):
    generation = make_generation(at="audio", status="in_progress", requested_by=author)
    page = text(page_of(client, generation))
    costs = page_of(client, generation).context["costs"]
    assert costs.tokens == 1600
    assert costs.chars_cached == generation.chars_cached > 0
    assert "of about $0.01" in page


def test_page_of_a_failed_one_offers_retry_and_every_stage(client, author):
    generation = make_generation(at="upload", status="failed", requested_by=author)
    response = page_of(client, generation)
    assert [link.way.stage for link in response.context["again"].ways] == [
        "",
        "outline",
        "script",
        "audio",
        "upload",
    ]
    assert f"/operations/generation/{generation.pk}/retry" in text(response)


def test_page_offers_only_stages_that_have_what_they_begin_with(client, author):
    generation = make_generation(at="script", status="cancelled", requested_by=author)
    ways = page_of(client, generation).context["again"].ways
    assert [link.way.stage for link in ways] == ["", "outline", "script"]


def test_page_leaves_nothing_to_start_while_it_runs(client, author):
    generation = make_generation(at="audio", status="in_progress", requested_by=author)
    page = page_of(client, generation)
    assert page.context["again"].ways == []
    assert f"/operations/generation/{generation.pk}/pause" in text(page)


# --- starting -----------------------------------------------------------------------------------


def start_url(episode):
    return reverse("my-episode-generate", args=[episode.pk])


def start(client, episode, query="", **data):
    form = client.get(start_url(episode) + query).context["form"]
    initial = {name: form[name].value() for name in form.fields if form[name].value()}
    sent = {**initial, **data}
    return client.post(start_url(episode), sent), sent


def test_start_page_tells_what_it_takes_and_starts_nothing(client, episode):
    BlockFactory(
        item=Block.objects.filter(item__part__episode=episode)[0].item,
        name="How was it?",
        field_1="survey",
    )
    response = client.get(start_url(episode))
    page = text(response)
    assert "about $0.00" in page
    assert "It is a survey" in page
    assert "“How was it?”" in page
    assert response.context["form"]["voice_host"].value() == "en-us"
    assert "voice_guest" not in response.context["form"].fields
    assert not GenerationJob.objects.exists()


def test_start_page_of_a_dialogue_has_two_voices(client, episode):
    Episode.objects.filter(pk=episode.pk).update(type="dialogue")
    assert "voice_guest" in client.get(start_url(episode)).context["form"].fields


def test_start_leads_to_its_page_and_twice_is_once(client, episode):
    response, sent = start(client, episode, voice_host="de", speed="1.2", stop_before_audio="on")
    generation = GenerationJob.objects.get()
    assert response["Location"] == generation.get_absolute_url()
    assert (generation.voices["host"], generation.speed) == ("de", 1.2)
    assert generation.stop_before_audio
    assert generation.requested_by == episode.owner

    again = client.post(start_url(episode), sent)
    assert again["Location"] == generation.get_absolute_url()
    assert GenerationJob.objects.count() == 1


def test_start_with_estimate_tells_the_cost_of_the_choices_and_starts_nothing(client, episode):
    response, _ = start(client, episode, estimate="yes", voice_host="de")
    assert response.context["expected"]
    assert response.context["form"]["voice_host"].value() == "de"
    assert not GenerationJob.objects.exists()


@pytest.mark.parametrize(
    "data", [{"voice_host": ""}, {"speed": "fast"}, {"speed": "99"}, {"key": "x"}]
)
def test_start_with_bad_input_says_where_and_starts_nothing(client, episode, data):
    response, _ = start(client, episode, **data)
    assert response.status_code == 200
    assert response.context["form"].errors.keys() == data.keys()
    assert not GenerationJob.objects.exists()


def test_start_of_an_episode_without_words_says_why(client, author):
    page = text(client.get(start_url(EpisodeFactory(owner=author))))
    assert "has nothing to say" in page
    assert '<form method="post" class="start">' not in page


def test_start_beyond_the_limit_is_refused_with_the_figure(client, episode, settings, monkeypatch):
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal("0.10")
    monkeypatch.setattr(
        "generation.providers.offline_speech.OfflineSpeech.cost", lambda self, chars: Decimal(3)
    )
    response, _ = start(client, episode)
    assert "one generation may cost $0.10" in text(response)
    assert not GenerationJob.objects.exists()


def test_start_without_the_permission_says_who_can_give_it(episode):
    episode.owner.user_permissions.clear()
    client = Client()
    client.force_login(episode.owner)
    page = text(client.get(start_url(episode), follow=True))
    assert "Can add generation" in page
    assert reverse("my-episode-generate", args=[episode.pk]) not in page


def test_start_while_one_runs_leads_to_that(client, author):
    generation = make_generation(at="audio", status="in_progress", requested_by=author)
    response = client.get(start_url(generation.episode))
    assert response["Location"] == generation.get_absolute_url()


def test_start_from_the_audio_takes_the_voices_of_before(client, author):
    made = make_generation(requested_by=author, voices={"host": "de", "guest": "fr"})
    response, _ = start(client, made.episode, "?from=audio")
    generation = GenerationJob.objects.get(pk__gt=made.pk)
    assert response["Location"] == generation.get_absolute_url()
    assert (generation.from_stage, generation.voices["host"]) == ("audio", "de")
    assert generation.script == made.script


def test_start_from_the_upload_asks_for_no_voice(client, author):
    made = make_generation(requested_by=author)
    form = client.get(start_url(made.episode) + "?from=upload").context["form"]
    assert set(form.fields) == {"key", "from_stage"}
    start(client, made.episode, "?from=upload")
    assert GenerationJob.objects.get(pk__gt=made.pk).from_stage == "upload"


def test_start_from_a_stage_that_has_nothing_to_begin_with_says_so(client, episode):
    assert "has no script yet" in text(client.get(start_url(episode) + "?from=audio"))


# --- editing ----------------------------------------------------------------------------------


@pytest.fixture
def paused(author):
    return make_generation(at="audio", status="paused", requested_by=author, said=0)


def edit_url(generation, chapter=1):
    return reverse("my-generation-script", args=[generation.pk]) + f"?chapter={chapter}"


def form_of(response):
    rows = response.context["rows"]
    return {
        "version": response.context["version"],
        "speaker": [row.speaker for row in rows],
        "chapter": [row.chapter for row in rows],
        "text": [row.text for row in rows],
    }


def test_editor_saves_a_chapter_and_leaves_the_others(client, paused):
    before = paused.script["turns"]
    sent = form_of(client.get(edit_url(paused, 2)))
    sent["text"][0] = "Said otherwise.\r\nIn two lines."
    response = client.post(edit_url(paused, 2), sent)
    assert response["Location"] == edit_url(paused, 2)
    paused.refresh_from_db()
    first = next(index for index, turn in enumerate(before) if turn["chapter"] == 1)
    assert paused.script["turns"][first]["text"] == "Said otherwise.\nIn two lines."
    assert paused.script["turns"][:first] == before[:first]
    assert paused.script["turns"][first + 1 :] == before[first + 1 :]
    assert paused.script_version == 1
    assert "/resume" in text(client.get(edit_url(paused, 2)))


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        ("up:1", [1, 0, 2]),
        ("down:0", [1, 0, 2]),
        ("remove:1", [0, 2]),
        ("add:1", [0, None, 1, 2]),
        ("up:0", [0, 1, 2]),
        ("down:2", [0, 1, 2]),
        ("remove:99", [0, 1, 2]),
    ],
)
def test_editor_rearranges_without_saving(client, paused, do, expected):
    sent = form_of(client.get(edit_url(paused)))
    for name in ("speaker", "chapter", "text"):
        sent[name] = sent[name][:3]
    sent["text"] = ["Zero.", "One.", "Two."]
    response = client.post(edit_url(paused), {**sent, "do": do})
    words = ["Zero.", "One.", "Two."]
    shown = [row.text for row in response.context["rows"]]
    assert shown == ["" if index is None else words[index] for index in expected]
    paused.refresh_from_db()
    assert paused.script_version == 0


def test_editor_moves_a_turn_to_the_near_end_of_another_chapter(client, paused):
    sent = form_of(client.get(edit_url(paused)))
    sent["chapter"][0] = 1
    moved = sent["text"][0]
    client.post(edit_url(paused), sent)
    paused.refresh_from_db()
    turns = paused.script["turns"]
    assert next(turn["text"] for turn in turns if turn["chapter"] == 1) == moved
    assert [turn["chapter"] for turn in turns] == sorted(turn["chapter"] for turn in turns)


def test_editor_points_at_the_turn_that_cannot_be_said(client, paused):
    sent = form_of(client.get(edit_url(paused, 2)))
    sent["text"][1] = " … "
    response = client.post(edit_url(paused, 2), sent)
    problems = [row.problem for row in response.context["rows"]]
    assert problems[0] == ""
    assert "nothing to say" in problems[1]
    assert 'aria-describedby="problem-2"' in text(response)
    paused.refresh_from_db()
    assert paused.script_version == 0


def test_editor_shows_both_when_somebody_else_was_quicker(client, paused):
    mine, theirs = form_of(client.get(edit_url(paused))), form_of(client.get(edit_url(paused)))
    theirs["text"][0] = "Their words."
    client.post(edit_url(paused), theirs)
    mine["text"][0] = "My words."
    response = client.post(edit_url(paused), mine)
    page = text(response)
    assert "Their words." in page
    assert "My words." in page
    paused.refresh_from_db()
    assert paused.script["turns"][0]["text"] == "Their words."

    client.post(edit_url(paused), form_of(response))
    paused.refresh_from_db()
    assert paused.script["turns"][0]["text"] == "My words."


def test_editor_of_a_long_chapter_replaces_only_its_page(client, long):
    url = edit_url(long) + "&turns=2"
    response = client.get(url)
    sent = form_of(response)
    assert len(sent["text"]) == 100
    sent["text"][0] = "Another."
    assert client.post(url, sent).status_code == 302
    long.refresh_from_db()
    assert len(long.script["turns"]) == 5000
    assert long.script["turns"][100]["text"] == "Another."


def test_editor_of_an_ended_one_leads_to_the_audio(client, author):
    generation = make_generation(requested_by=author)
    sent = form_of(client.get(edit_url(generation)))
    sent["text"][0] = "Another beginning."
    client.post(edit_url(generation), sent)
    assert f"{start_url(generation.episode)}?from=audio" in text(client.get(edit_url(generation)))


@pytest.mark.parametrize("at", ["script", "audio"])
def test_editor_is_closed_while_the_script_is_written_or_said(client, author, at):
    generation = make_generation(at=at, status="in_progress", requested_by=author)
    response = client.get(edit_url(generation))
    assert response["Location"] == generation.get_absolute_url()
    assert edit_url(generation).split("?")[0] not in text(page_of(client, generation))


def test_editor_of_a_script_that_another_came_after_leads_away(client, author):
    first = make_generation(requested_by=author)
    make_generation(requested_by=author, episode=first.episode)
    assert "edit that" in text(client.get(edit_url(first), follow=True))


@pytest.mark.parametrize("data", [{}, {"version": "x"}, {"version": "0", "text": "alone"}])
def test_editor_refuses_what_is_not_its_form(client, paused, data):
    response = client.post(edit_url(paused), data)
    assert response.status_code in (200, 400)
    paused.refresh_from_db()
    assert paused.script_version == 0


# --- my episodes ---------------------------------------------------------------------------------


def test_my_episodes_offers_audio_and_plays_what_is_there(client, episode, author):
    page = text(client.get("/my/episodes"))
    assert "Generate audio" in page
    assert start_url(episode) in page
    made = make_generation(requested_by=author, title="Winter")
    page = text(client.get("/my/episodes"))
    assert f'src="{made.episode.audio_url}"' in page
    assert "Make the audio anew" in page


def test_my_episodes_shows_the_generation_that_runs_instead(client, author):
    running = make_generation(at="audio", status="in_progress", requested_by=author)
    page = text(client.get("/my/episodes"))
    assert running.get_absolute_url() in page
    assert start_url(running.episode) not in page


def test_my_episodes_costs_the_same_queries_for_many(client, author, django_assert_max_num_queries):
    for number in range(6):
        make_generation(at="audio", status="paused", requested_by=author, title=f"No {number}")
    with django_assert_max_num_queries(12):
        client.get("/my/episodes")
