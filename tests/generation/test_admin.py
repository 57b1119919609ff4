from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from waffle.testutils import override_switch

from content.models import Episode
from content.synthetic import make_episode
from generation.admin import quotes
from generation.models import AudioCache, GenerationJob, GenerationMetrics
from tests.factories.content import BlockFactory, EpisodeFactory, UserFactory
from tests.factories.generation import make_generation

pytestmark = pytest.mark.django_db

EPISODES = "/admin/content/episode/"
LIST = "/admin/generation/generationjob/"
START = f"{LIST}start/"
METRICS = "/admin/generation/generationmetrics/"
CACHE = "/admin/generation/audiocache/"
DASHBOARD = "/admin/operations/"


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "ESTIMATE_SECONDS", 60.0)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def staff(*permissions: str) -> User:
    return UserFactory(is_staff=True, permissions=list(permissions))


@pytest.fixture
def admin() -> User:
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def browser(admin: User) -> Client:
    return client_of(admin)


@pytest.fixture
def episode() -> Episode:
    return make_episode(parts=2, items=1, blocks=2, title="A <b>bold</b> title")


def page_of(generation: GenerationJob) -> str:
    return reverse("admin:generation_generationjob_change", args=[generation.pk])


def told(response: Any) -> list[str]:
    messages = get_messages(response.wsgi_request)
    return [unescape(re.sub("<.*?>", "", str(each))) for each in messages]


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(unescape(re.sub("(?s)<.*?>", " ", response.text)).split())


def choose(client: Client, *episodes: Episode, across: bool = False) -> Any:
    return client.post(
        EPISODES,
        {
            "index": 0,
            "action": "generate_selected",
            "_selected_action": [each.pk for each in episodes],
            "select_across": int(across),
        },
    )


def ids_of(*episodes: Episode) -> dict[str, str]:
    return {"ids": ",".join(str(each.pk) for each in episodes)}


def sent_form(response: Any, **changes: str) -> dict[str, str]:
    """What a browser would send from a start page; a box that isn't ticked isn't sent."""
    form = response.context["form"]
    values = {name: form[name].value() for name in form.fields}
    said = {name: str(value) for name, value in values.items() if value not in (False, None)}
    return said | {"seen": response.context["seen"]} | changes


def filled_form(client: Client, *episodes: Episode, **changes: str) -> dict[str, str]:
    return sent_form(client.get(START, ids_of(*episodes)), **changes)


def priced(settings: Any) -> None:
    """Speech that costs something, and is only estimated."""
    settings.GENERATION_SPEECH_PROVIDER = "polly"
    settings.POLLY_USD_PER_MILLION_CHARS = Decimal(1_000_000)  # a dollar a character


# --- the action ------------------------------------------------------------------


def test_action_on_chosen_episodes_leads_to_the_start_page(
    browser: Client, episode: Episode
) -> None:
    other = EpisodeFactory()
    assert choose(browser, episode, other).url == f"{START}?ids={other.pk},{episode.pk}"
    assert not GenerationJob.objects.exists()


def test_action_on_more_than_fifty_episodes_is_refused(browser: Client) -> None:
    episodes = EpisodeFactory.create_batch(51)
    for response in (choose(browser, *episodes), choose(browser, episodes[0], across=True)):
        assert response.url == EPISODES
        assert "more than 50 episodes are chosen" in told(response)[0]


@pytest.mark.parametrize(
    ("permissions", "offered"),
    [(["view_episode"], False), (["view_episode", "add_generationjob"], True)],
)
def test_action_is_offered_to_who_may_generate(
    permissions: list[str], offered: bool, episode: Episode
) -> None:
    page = client_of(staff(*permissions)).get(EPISODES)
    assert ("Generate audio" in page.text) is offered


# --- the start page ----------------------------------------------------------------


def test_start_page_estimates_and_changes_nothing(browser: Client, episode: Episode) -> None:
    response = browser.get(START, ids_of(episode))
    text = text_of(response)
    assert "A &lt;b&gt;bold&lt;/b&gt; title" in response.text
    [choice] = response.context["choices"]
    assert choice.estimate.chars > 0
    assert f"nothing yet {choice.quote.tokens:,} {choice.estimate.chars:,} 0 % $0.00" in text
    assert "not known yet Will be generated" in text
    # Nothing was made before, so there is nothing to choose from.
    assert "from_stage" not in response.context["form"].fields
    assert not GenerationJob.objects.exists()


def test_start_page_names_what_is_left_out_and_why(browser: Client, episode: Episode) -> None:
    BlockFactory(item=episode.parts.first().items.first(), field_2="", name="A picture")
    text = text_of(browser.get(START, ids_of(episode)))
    assert "Left out 1 block" in text
    assert "“A picture”" in text


def test_start_page_of_several_sums_them_up_and_tells_how_many_run_at_once(
    browser: Client, episode: Episode, settings: Any
) -> None:
    settings.OPERATION_MAX_CONCURRENT_JOBS = 3
    other = make_episode(parts=1, items=1, blocks=1)
    response = browser.get(START, ids_of(episode, other))
    chars = [each.estimate.chars for each in response.context["choices"]]
    assert response.context["together"].chars == sum(chars)
    text = text_of(response)
    assert "The audio of these 2 episodes will be made" in text
    assert "3 generations run at once; the others wait their turn" in text
    assert "Together" in text


def test_start_page_estimates_as_many_as_there_is_time_for(
    browser: Client, episode: Episode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "ESTIMATE_SECONDS", 0.0)
    others = [make_episode(parts=1, items=1, blocks=1) for _ in range(2)]
    response = browser.get(START, ids_of(episode, *others))
    text = text_of(response)
    # The first one always.
    assert text.count("Not estimated: the time was over.") == 2
    assert "without the 2 that aren't estimated" in text
    assert response.context["startable"] == 3


def test_start_page_says_what_has_nothing_to_say(browser: Client, episode: Episode) -> None:
    empty = EpisodeFactory(title="Empty")
    response = browser.get(START, ids_of(empty, episode))
    assert "Can't be generated Episode" in text_of(response)
    assert "has nothing to say" in text_of(response)
    assert response.context["startable"] == 1
    assert '<input type="submit"' not in browser.get(START, ids_of(empty)).text


def test_start_page_says_which_are_under_way_already(browser: Client) -> None:
    generation = make_generation(at="audio", status="in_progress")
    response = browser.get(START, ids_of(generation.episode))
    assert "Already under way" in text_of(response)
    assert f'href="{page_of(generation)}"' in response.text
    assert '<input type="submit"' not in response.text


def test_start_page_lists_all_missing_permissions(episode: Episode) -> None:
    client = client_of(staff("view_episode", "view_generationjob"))
    text = text_of(client.get(START, ids_of(episode)))
    assert "Can add generation" in text
    assert f"Episode {episode.pk} belongs to somebody else" in text


def test_start_page_counts_what_is_not_there_any_more(browser: Client, episode: Episode) -> None:
    copying = EpisodeFactory(status=Episode.Status.COPYING)
    text = text_of(browser.get(START, {"ids": f"{episode.pk},{copying.pk},999999999"}))
    assert "2 more were chosen that aren't there any more" in text


@pytest.mark.parametrize("ids", ["", "x", "999999999", "0,-1", ",".join(["9" * 30] * 60)])
def test_start_page_without_an_episode_leads_back(browser: Client, ids: str) -> None:
    response = browser.get(START, {"ids": ids})
    assert response.url == EPISODES
    assert told(response) == ["No episode is chosen that is there and yours to see."]


def test_start_page_is_closed_to_who_is_not_staff(client: Client, episode: Episode) -> None:
    assert "/login/" in client.get(START, ids_of(episode)).url
    assert "/login/" in client_of(UserFactory()).post(START, ids_of(episode)).url


def test_start_page_tells_what_would_hold_it_up(browser: Client, episode: Episode) -> None:
    assert "Would wait now" not in text_of(browser.get(START, ids_of(episode)))
    with override_switch("generation", active=False):
        text = text_of(browser.get(START, ids_of(episode)))
    assert "Would wait now The switch “generation” is off." in text


def test_start_page_refuses_what_costs_more_than_one_may_with_the_figure(
    browser: Client, episode: Episode, settings: Any
) -> None:
    priced(settings)
    settings.GENERATION_MAX_USD_PER_GENERATION = Decimal(1)
    response = browser.get(START, ids_of(episode))
    [choice] = response.context["choices"]
    text = text_of(response)
    assert f"Over the limit It would cost about ${choice.estimate.chars:.2f}" in text
    assert "One generation $1.00 at most" in text
    assert '<input type="submit"' not in response.text


def test_start_page_refuses_those_that_go_beyond_the_day_after_the_others(
    browser: Client, settings: Any
) -> None:
    priced(settings)
    episodes = [make_episode(parts=1, items=1, blocks=1) for _ in range(3)]
    first = browser.get(START, ids_of(*episodes)).context["choices"][0]
    settings.GENERATION_MAX_USD_PER_DAY = first.estimate.cost * 2 + 5
    response = browser.get(START, ids_of(*episodes))
    assert [each.is_over_limit for each in response.context["choices"]] == [False, False, True]
    text = text_of(response)
    assert "after those above it $5.00 of today's" in text
    assert "Today (UTC)" in text
    assert response.context["startable"] == 2


def test_start_page_offers_what_can_be_made_anew(browser: Client) -> None:
    generation = make_generation()
    response = browser.get(START, ids_of(generation.episode))
    stages = [value for value, _ in response.context["form"].fields["from_stage"].choices]
    assert stages == ["", "outline", "script", "audio", "upload"]
    assert "outline, script, audio" in text_of(response)
    only_outline = make_generation(at="script", status="failed")
    response = browser.get(START, ids_of(only_outline.episode))
    stages = [value for value, _ in response.context["form"].fields["from_stage"].choices]
    assert stages == ["", "outline", "script"]


def test_start_page_of_one_begins_with_the_stage_of_the_address(browser: Client) -> None:
    episode = make_generation().episode
    url = reverse("admin:generation_generationjob_start_one", args=[episode.pk])
    response = browser.get(url, {"from": "audio"})
    assert response.context["form"]["from_stage"].value() == "audio"
    assert response.context["choices"][0].quote.tokens == 0
    assert browser.get(url, {"from": "x"}).context["form"]["from_stage"].value() == ""


def test_start_page_asks_for_a_guests_voice_only_where_there_is_one(
    browser: Client, episode: Episode
) -> None:
    assert "guest" not in browser.get(START, ids_of(episode)).context["form"].fields
    Episode.objects.update(type="dialogue")
    form = browser.get(START, ids_of(episode)).context["form"]
    assert form.fields["guest"].widget.attrs["placeholder"] == "en-us+f2"


def test_start_page_of_many_takes_a_bounded_number_of_queries_for_each(browser: Client) -> None:
    counts = []
    for number in (2, 5):
        episodes = [make_episode(parts=2, items=2, blocks=3) for _ in range(number)]
        with CaptureQueriesContext(connection) as queries:
            browser.get(START, ids_of(*episodes))
        counts.append(len(queries))
    assert (counts[1] - counts[0]) / 3 <= 12


# --- starting ------------------------------------------------------------------------


def test_start_of_one_leads_to_its_page(browser: Client, admin: User, episode: Episode) -> None:
    response = browser.post(START, filled_form(browser, episode))
    generation = GenerationJob.objects.get()
    assert response.url == page_of(generation)
    assert told(response) == [f"Started Generation {generation.pk}."]
    assert (generation.episode, generation.requested_by) == (episode, admin)
    assert (generation.from_stage, generation.stop_before_audio) == ("", False)


def test_start_takes_voice_speed_and_the_stop(browser: Client, episode: Episode) -> None:
    wanted = {"host": "en-gb", "speed": "1.25"}
    looked = browser.post(START, filled_form(browser, episode, look="yes", **wanted))
    browser.post(START, sent_form(looked, stop_before_audio="on"))
    generation = GenerationJob.objects.get()
    assert (generation.voices["host"], generation.speed) == ("en-gb", 1.25)
    assert generation.stop_before_audio


def test_start_with_other_options_than_were_estimated_shows_their_estimate_first(
    browser: Client,
) -> None:
    episode = make_generation().episode
    before = GenerationJob.objects.count()
    response = browser.post(START, filled_form(browser, episode, from_stage="audio"))
    assert "Nothing is started yet" in told(response)[0]
    assert GenerationJob.objects.count() == before
    response = browser.post(START, sent_form(response))
    generation = GenerationJob.objects.first()
    assert response.url == page_of(generation)
    assert generation.from_stage == "audio"


def test_estimate_again_starts_nothing(browser: Client, episode: Episode) -> None:
    response = browser.post(START, filled_form(browser, episode, look="yes"))
    assert "Will be generated" in text_of(response)
    assert told(response) == []
    assert not GenerationJob.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("speed", "9", "less than or equal to 4"),
        ("speed", "nan", "Enter a number"),
        ("host", "x" * 65, "at most 64 characters"),
        ("from_stage", "publish", "not one of the available choices"),
        ("key", "x", ""),
    ],
)
def test_start_with_wrong_input_shows_it_to_be_mended(
    browser: Client, field: str, value: str, complaint: str
) -> None:
    episode = make_generation().episode
    before = GenerationJob.objects.count()
    response = browser.post(START, filled_form(browser, episode, **{field: value}))
    assert complaint in text_of(response)
    assert GenerationJob.objects.count() == before


def test_start_of_several_leads_to_the_list(browser: Client, episode: Episode) -> None:
    other = make_episode(parts=1, items=1, blocks=1, title="Other")
    response = browser.post(START, filled_form(browser, episode, other))
    assert response.url == LIST
    assert told(response)[0].startswith("Started 2 generations: ")
    assert {each.episode for each in GenerationJob.objects.all()} == {episode, other}


def test_start_of_several_starts_those_that_may_be(episode: Episode) -> None:
    owner = staff("view_episode", "add_generationjob")
    client = client_of(owner)
    own = make_episode(parts=1, items=1, blocks=1, owner=owner)
    empty = EpisodeFactory(owner=owner, title="Empty")
    response = client.post(START, filled_form(client, episode, own, empty))
    assert response.url == LIST
    assert [each.episode for each in GenerationJob.objects.all()] == [own]
    said = told(response)
    assert "belongs to somebody else" in said[0]
    assert "“Empty” is not generated. Episode" in said[1]
    assert said[2].startswith("Started Generation")


def test_start_sent_twice_starts_once(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode)
    browser.post(START, form)
    GenerationJob.objects.update(status="cancelled", ended_at=timezone.now())
    response = browser.post(START, form)
    generation = GenerationJob.objects.get()
    assert response.url == page_of(generation)
    assert "No second generation of “A <b>bold</b> title”" in unescape(told(response)[-1])
    # A page that is opened anew is a new wish.
    browser.post(START, filled_form(browser, episode))
    assert GenerationJob.objects.count() == 2


def test_start_while_one_is_under_way_starts_no_second(browser: Client, episode: Episode) -> None:
    form = filled_form(browser, episode)
    browser.post(START, filled_form(browser, episode))
    response = browser.post(START, form)
    assert "No second generation" in told(response)[-1]
    assert GenerationJob.objects.count() == 1


def test_start_over_the_limit_is_refused_also_where_the_page_is_older(
    browser: Client, episode: Episode, settings: Any
) -> None:
    priced(settings)
    form = filled_form(browser, episode)
    settings.GENERATION_MAX_USD_PER_DAY = Decimal(1)
    response = browser.post(START, form)
    assert response.url == EPISODES
    assert "It would cost about" in told(response)[-1]
    assert not GenerationJob.objects.exists()


def test_start_without_permission_starts_nothing(episode: Episode) -> None:
    client = client_of(staff("view_episode", "add_generationjob"))
    response = client.post(
        START, {**ids_of(episode), "key": str(uuid.uuid4()), "seen": "", "look": ""}
    )
    assert "belongs to somebody else" in text_of(response)
    response = client.post(START, filled_form(client, episode))
    assert "belongs to somebody else" in told(response)[0]
    assert not GenerationJob.objects.exists()


def test_start_without_a_csrf_token_is_refused(admin: User, episode: Episode) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    assert client.post(START, filled_form(client, episode)).status_code == 403
    assert not GenerationJob.objects.exists()


# --- the list ------------------------------------------------------------------------


STATES = [
    ("outline", "pending", "Pending"),
    ("script", "in_progress", "In progress"),
    ("audio", "in_progress", "In progress"),
    ("audio", "paused", "Paused"),
    ("audio", "failed", "Failed"),
    ("script", "cancelled", "Cancelled"),
    ("upload", "completed", "Completed"),
]


@pytest.mark.parametrize(("at", "status", "word"), STATES)
def test_list_and_page_show_a_generation_in_each_state(
    browser: Client, admin: User, at: str, status: str, word: str
) -> None:
    generation = make_generation(at=at, status=status, requested_by=admin, title="<i>Tea</i>")
    for url in (LIST, page_of(generation)):
        response = browser.get(url)
        assert re.search(rf'class="state"[^>]*>{word}</span>', response.text)
        assert "&lt;i&gt;Tea&lt;/i&gt;" in response.text
        assert "<i>Tea" not in response.text


def test_list_without_a_generation_says_how_to_begin(browser: Client) -> None:
    assert "there the action “Generate audio”" in text_of(browser.get(LIST))


def test_list_finds_by_title_and_by_either_id(browser: Client) -> None:
    tea, coffee = make_generation(title="Tea"), make_generation(title="Coffee")

    def found(**query: Any) -> set[int]:
        return {each.pk for each in browser.get(LIST, query).context["cl"].result_list}

    assert found(q="offee") == {coffee.pk}
    assert tea.pk in found(q=tea.pk)
    assert tea.pk in found(q=tea.episode_id)
    assert found(episode=coffee.episode_id) == {coffee.pk}
    assert found(episode="x") == set()


def test_list_is_filtered_by_status_and_provider(browser: Client) -> None:
    offline = make_generation()
    polly = make_generation(status="cancelled", speech_provider="polly")
    own = make_generation(text_provider="ours.Text")

    def found(**query: Any) -> set[int]:
        return {each.pk for each in browser.get(LIST, query).context["cl"].result_list}

    assert found(status__exact="cancelled") == {polly.pk}
    assert found(provider="polly") == {polly.pk}
    assert found(provider="ours.Text") == {own.pk}
    assert found(provider="offline") == {offline.pk, polly.pk, own.pk}


def test_list_reads_no_scripts_and_asks_no_more_for_more(browser: Client) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            make_generation(requested_by=UserFactory())
        with CaptureQueriesContext(connection) as queries:
            browser.get(LIST)
        assert not any('"generation_jobs"."script",' in each["sql"] for each in queries)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_list_of_who_may_generate_is_their_own(admin: User) -> None:
    user = staff("add_generationjob")
    make_generation(requested_by=admin)
    own = make_generation(requested_by=user)
    assert list(client_of(user).get(LIST).context["cl"].result_list) == [own]
    assert client_of(staff()).get(LIST).status_code == 403


# --- the page ------------------------------------------------------------------------


def section_ids(response: Any) -> list[str]:
    return [section.id for section in response.context["sections"]]


def test_page_of_a_completed_one_has_everything(browser: Client) -> None:
    generation = make_generation(dialogue=True)
    response = browser.get(page_of(generation))
    assert section_ids(response) == [
        "stepper",
        "audio",
        "again",
        "segments",
        "costs",
        "outline",
        "script",
    ]
    assert f'src="{generation.episode.audio_url}"' in response.text
    start = reverse("admin:generation_generationjob_start_one", args=[generation.episode_id])
    assert f'href="{start}?from=audio"' in response.text
    edit = reverse("my-generation-script", args=[generation.pk])
    assert f'href="{edit}"' in response.text


def test_page_of_a_pending_one_has_what_there_is(browser: Client) -> None:
    response = browser.get(page_of(make_generation(at="outline", status="pending")))
    assert "audio" not in section_ids(response)
    assert "script" not in section_ids(response)


def test_page_offers_no_edit_while_it_is_being_said(browser: Client) -> None:
    generation = make_generation(at="audio", status="in_progress")
    edit = reverse("my-generation-script", args=[generation.pk])
    assert edit not in browser.get(page_of(generation)).text
    paused = make_generation(at="audio", status="paused")
    edit = reverse("my-generation-script", args=[paused.pk])
    assert edit in browser.get(page_of(paused)).text


def test_page_offers_nothing_to_who_may_only_look() -> None:
    generation = make_generation(status="failed", at="audio")
    client = client_of(staff("view_generationjob"))
    response = client.get(page_of(generation))
    assert "again" not in section_ids(response)
    assert "my/generations" not in response.text
    assert 'data-verb="retry"' not in response.text


def test_page_takes_a_fixed_number_of_queries_however_long_the_episode(browser: Client) -> None:
    counts = []
    for blocks in (2, 40):
        generation = make_generation(blocks=blocks, with_file=False)
        with CaptureQueriesContext(connection) as queries:
            browser.get(page_of(generation))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_dashboard_leaves_out_a_failed_one_after_which_another_came(
    browser: Client, episode: Episode
) -> None:
    failed = make_generation(at="audio", status="failed", episode=episode)

    def attention() -> list[Any]:
        return [each.operation for each in browser.get(DASHBOARD).context["attention"].shown]

    assert attention() == [failed]
    make_generation(episode=episode)
    assert attention() == []


# --- on the episode's page -----------------------------------------------------------------


def test_episode_has_its_audio_and_the_way_to_its_generations(browser: Client) -> None:
    generation = make_generation()
    response = browser.get(f"{EPISODES}{generation.episode_id}/change/")
    assert f'src="{generation.episode.audio_url}"' in response.text
    assert f'href="{page_of(generation)}"' in response.text
    assert f'href="{LIST}?episode={generation.episode_id}"' in response.text


def test_episode_without_audio_says_so(browser: Client, episode: Episode) -> None:
    text = text_of(browser.get(f"{EPISODES}{episode.pk}/change/"))
    assert "None yet. The list of episodes has the action “Generate audio”." in text
    assert browser.get(f"{EPISODES}add/").status_code == 200


def test_episode_with_audio_from_elsewhere_has_no_player_for_it(
    browser: Client, episode: Episode
) -> None:
    Episode.objects.update(audio_url="https://cdn.example/a.mp3")
    assert "<audio" not in browser.get(f"{EPISODES}{episode.pk}/change/").text


def test_episode_is_still_saved_from_its_page(browser: Client, episode: Episode) -> None:
    browser.post(
        f"{EPISODES}{episode.pk}/change/", {"title": "New", "type": "solo", "status": "draft"}
    )
    episode.refresh_from_db()
    assert episode.title == "New"


# --- metrics ---------------------------------------------------------------------------


def metric(episode: Episode, *, days_ago: int = 0, **fields: Any) -> GenerationMetrics:
    return GenerationMetrics.objects.create(
        episode=episode,
        **{
            "created_at": timezone.now() - dt.timedelta(days=days_ago),
            "type": "solo",
            "outcome": "completed",
            "text_provider": "offline",
            "speech_provider": "offline",
            **fields,
        },
    )


def day(days_ago: int) -> str:
    return (timezone.now().date() - dt.timedelta(days=days_ago)).isoformat()


def test_metrics_show_totals_of_the_last_thirty_days(browser: Client, episode: Episode) -> None:
    metric(episode, estimated_cost=Decimal("1.50"), tokens_in=1000, tokens_out=234)
    metric(episode, days_ago=29, estimated_cost=Decimal("2"), type="dialogue")
    metric(episode, days_ago=31, estimated_cost=Decimal("100"))
    response = browser.get(METRICS)
    text = text_of(response)
    assert "Generations 2 Cost $3.50 Tokens 1,234" in text
    assert len(response.context["cl"].result_list) == 2
    by_day, by_type, by_provider = response.context["tables"]
    assert [row.cost for row in by_day.rows] == ["$1.50", "$2.00"]
    assert [(row.label, row.cost) for row in by_type.rows] == [
        ("Dialogue", "$2.00"),
        ("Solo", "$1.50"),
    ]
    assert [row.label for row in by_provider.rows] == ["offline + offline"]
    # A bar for each of the thirty days, the oldest first; the dearest is the highest.
    bars = by_day.chart.bars
    assert [bar.height > 0 for bar in bars] == [True, *[False] * 28, True]
    assert bars[0].height > bars[-1].height
    assert "Cost a day" in text


def test_metrics_draw_numbers_where_nothing_cost_anything(
    browser: Client, episode: Episode
) -> None:
    metric(episode)
    response = browser.get(METRICS)
    assert response.context["measure"] == "Generations"
    assert "Generations a day" in text_of(response)


def test_metrics_are_of_the_days_that_are_asked_for(browser: Client, episode: Episode) -> None:
    metric(episode)
    old = metric(episode, days_ago=40)
    response = browser.get(METRICS, {"since": day(41), "until": day(39)})
    assert list(response.context["cl"].result_list) == [old]
    assert response.context["whole"].generations == 1
    assert len(response.context["tables"][0].chart.bars) == 3
    # The page of one is there whatever its day.
    assert browser.get(f"{METRICS}{old.pk}/change/").status_code == 200


def test_metrics_totals_follow_the_filters_and_keep_them(browser: Client, episode: Episode) -> None:
    metric(episode, outcome="failed", estimated_cost=Decimal(7))
    metric(episode, estimated_cost=Decimal(1))
    response = browser.get(METRICS, {"outcome": "failed", "since": day(5)})
    assert response.context["whole"].cost == "$7.00"
    assert '<input type="hidden" name="outcome" value="failed">' in response.text
    assert f"since={day(5)}" in response.text


@pytest.mark.parametrize(
    ("since", "until", "complaint"),
    [
        ("x", "", "Enter a valid date"),
        ("2026-02-02", "2026-02-01", "The first day is after the last one."),
        ("1990-01-01", "2026-01-01", "Choose at most 366 days."),
    ],
)
def test_metrics_of_impossible_days_say_so_and_show_the_last_thirty(
    browser: Client, episode: Episode, since: str, until: str, complaint: str
) -> None:
    metric(episode)
    response = browser.get(METRICS, {"since": since, "until": until})
    assert complaint in text_of(response)
    assert response.context["whole"].generations == 1


@pytest.mark.parametrize("until", ["0001-01-01", "9999-12-31"])
def test_metrics_at_the_ends_of_time_are_empty(
    browser: Client, episode: Episode, until: str
) -> None:
    metric(episode)
    response = browser.get(METRICS, {"until": until})
    assert "No generation that this list shows ended between" in text_of(response)


def test_metrics_take_a_fixed_number_of_queries(browser: Client, episode: Episode) -> None:
    counts = []
    for _ in range(2):
        for number in range(5):
            metric(EpisodeFactory(), days_ago=number)
        with CaptureQueriesContext(connection) as queries:
            browser.get(METRICS)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_metrics_can_only_be_looked_at(browser: Client, episode: Episode) -> None:
    one = metric(episode)
    assert browser.get(f"{METRICS}add/").status_code == 403
    assert browser.post(f"{METRICS}{one.pk}/change/", {"outcome": "failed"}).status_code == 403
    assert browser.post(f"{METRICS}{one.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client_of(staff()).get(METRICS).status_code == 403


# --- the cache ---------------------------------------------------------------------------


def sound(number: int = 1, **fields: Any) -> AudioCache:
    return AudioCache.objects.create(
        **{
            "cache_key": f"{number:064x}",
            "state": "ready",
            "audio_name": f"cache/{number}.mp3",
            "audio_bytes": 2048,
            "checksum": "0" * 64,
            "duration_ms": 4000,
            "parameters": {"provider": "offline", "model": "espeak-ng", "voice": "<en>"},
            **fields,
        }
    )


def test_cache_shows_totals_and_each_sound(browser: Client) -> None:
    sound(1, usage_count=5)
    sound(2)
    sound(3, state="making", audio_name="", checksum="", audio_bytes=0)
    text = text_of(browser.get(CACHE))
    assert "Kept sounds 2 Being made 1 Size 4.0" in text
    assert "Hits 4 calls saved" in text
    assert "offline · espeak-ng · <en>" in text
    assert "5 ×" in text


def test_cache_without_a_sound_says_so(browser: Client) -> None:
    assert "No sound is kept yet" in text_of(browser.get(CACHE))


@pytest.mark.parametrize(
    ("days", "size", "said"),
    [
        (9, 2048, "each night, what nobody used for 9 days and beyond 2.0\xa0KB what was unused"),
        (0, 2048, "each night, beyond 2.0\xa0KB what was unused the longest."),
        (0, 0, "Nothing is taken away"),
    ],
)
def test_cache_says_what_the_clean_up_takes(
    browser: Client, settings: Any, days: int, size: int, said: str
) -> None:
    settings.GENERATION_CACHE_MAX_DAYS, settings.GENERATION_CACHE_MAX_BYTES = days, size
    assert said in browser.get(CACHE).context["clean_up"]


def test_cache_is_searched_by_the_beginning_of_a_key(browser: Client) -> None:
    found = sound(cache_key="ab" * 32)
    sound(cache_key="ba" * 32)
    assert list(browser.get(CACHE, {"q": "ABAB"}).context["cl"].result_list) == [found]


def test_cached_sound_is_heard_from_its_page(browser: Client) -> None:
    name = default_storage.save("cache/x.mp3", ContentFile(b"sound"))
    one = sound(audio_name=name)
    url = reverse("admin:generation_audiocache_listen", args=[one.pk])
    assert f'src="{url}"' in browser.get(f"{CACHE}{one.pk}/change/").text
    response = browser.get(url)
    assert (response.content, response["Content-Type"]) == (b"sound", "audio/mpeg")
    assert client_of(staff()).get(url).status_code == 404


def test_cached_sound_whose_file_is_gone_says_so(browser: Client) -> None:
    one = sound()
    response = browser.get(reverse("admin:generation_audiocache_listen", args=[one.pk]))
    assert response.url == CACHE
    assert "is missing in storage" in told(response)[0]


def test_cached_sound_in_the_making_has_nothing_to_hear(browser: Client) -> None:
    one = sound(state="making", audio_name="", checksum="")
    assert "It is being made." in browser.get(f"{CACHE}{one.pk}/change/").text
    url = reverse("admin:generation_audiocache_listen", args=[one.pk])
    assert browser.get(url).status_code == 404


def test_cached_sounds_are_not_deleted_by_hand(browser: Client) -> None:
    one = sound()
    assert browser.post(f"{CACHE}{one.pk}/delete/", {"post": "yes"}).status_code == 403
    browser.post(CACHE, {"action": "delete_selected", "_selected_action": [one.pk], "post": "yes"})
    assert AudioCache.objects.exists()
