"""What was found about a copy, on its page in the admin, and what can be done about it."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from content.models import Block
from duplication.models import CatchUp
from duplication.services import start_duplication
from tests.duplication.driving import duplicate, run_stage, run_to_end
from tests.factories.content import BlockFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return get_user_model().objects.create_superuser("admin")


@pytest.fixture
def client(admin):
    client = Client()
    client.force_login(admin)
    return client


def page(client, duplication):
    url = reverse("admin:duplication_duplication_change", args=[duplication.pk])
    return client.get(url).content.decode()


@pytest.fixture
def with_links(admin):
    """A copy with a link to nothing and one to another episode."""
    elsewhere = BlockFactory()
    text = f"content:block/999999999 content:block/{elsewhere.pk}"
    episode = BlockFactory(field_1=text).item.part.episode
    return duplicate(episode, requested_by=admin)


@pytest.fixture
def drifted(admin):
    block = BlockFactory(field_1="Before")
    duplication, _ = start_duplication(episode_id=block.item.part.episode_id, requested_by=admin)
    run_stage(duplication, "links")
    Block.objects.filter(pk=block.pk).update(field_1="After")
    run_to_end(duplication)
    return duplication


def test_links_that_were_left_are_listed_with_where_they_stand_and_lead(client, with_links):
    shown = page(client, with_links)
    copy = Block.objects.get(item__part__episode=with_links.new_episode)
    assert reverse("admin:content_block_change", args=[copy.pk]) in shown
    assert "content:block/999999999" in shown
    for finding in with_links.link_findings.all():
        if finding.target_episode_id:
            target = reverse("admin:content_episode_change", args=[finding.target_episode_id])
            assert target in shown


def test_mend_from_the_page_changes_the_text_and_says_so(client, with_links):
    finding = with_links.link_findings.get(points_to="unresolved")
    copy = Block.objects.get(pk=finding.new_id)
    url = reverse("admin:duplication_duplication_mend", args=[with_links.pk, finding.pk])

    refused = client.post(url, {"target": "block/0"}, follow=True)
    assert "write part/ID, item/ID or block/ID" in refused.content.decode()

    done = client.post(url, {"target": f"block/{copy.pk}"}, follow=True)
    assert "was mended" in done.content.decode()
    copy.refresh_from_db()
    assert f"content:block/{copy.pk}" in copy.field_1
    assert 'data-state="completed">Mended' in page(client, with_links)
    assert client.get(url).status_code == 405


def test_drift_is_listed_and_catching_up_leads_to_its_page(client, drifted):
    assert "Catch up" in page(client, drifted)
    url = reverse("admin:duplication_duplication_catch_up", args=[drifted.pk])

    response = client.post(url)

    catch_up = CatchUp.objects.get()
    assert response["Location"] == reverse("admin:duplication_catchup_change", args=[catch_up.pk])
    assert client.get(response["Location"]).status_code == 200


def test_catch_up_with_nothing_to_do_says_so(client, with_links):
    assert "Nothing changed in the original" in page(client, with_links)
    url = reverse("admin:duplication_duplication_catch_up", args=[with_links.pk])
    response = client.post(url, follow=True)
    assert "Nothing was edited in the original" in response.content.decode()
    assert not CatchUp.objects.exists()


def test_findings_of_a_duplication_that_one_may_not_see_are_refused(with_links, drifted):
    client = Client()
    client.force_login(get_user_model().objects.create_user("otto", is_staff=True))
    mend = reverse("admin:duplication_duplication_mend", args=[with_links.pk, 1])
    catch_up = reverse("admin:duplication_duplication_catch_up", args=[drifted.pk])
    for url in (mend, catch_up):
        assert client.post(url, {"target": "block/1"}).status_code == 302
    assert not CatchUp.objects.exists()


def test_link_into_the_original_with_a_very_long_neighbour_is_told_and_cut(client, admin):
    block = BlockFactory()
    long = f"content:item/{'x' * 9_000}"
    duplication, _ = start_duplication(episode_id=block.item.part.episode_id, requested_by=admin)
    run_stage(duplication, "items")
    added = BlockFactory(item=block.item)
    Block.objects.filter(pk=block.pk).update(field_1=f"content:block/{added.pk} {long}")
    run_to_end(duplication)

    shown = page(client, duplication)

    assert "1 leads into the original still" in shown
    assert "None leads back into the original" not in shown
    assert 'data-state="failed">the original' in shown
    assert "x" * 40 in shown
    assert "x" * 60 not in shown
    own = client.get(reverse("my-duplication", args=[duplication.pk])).content.decode()
    assert "1 link in it still leads" in own


def test_links_of_a_copy_without_any_into_the_original_say_so(client, with_links):
    assert "None leads back into the original" in page(client, with_links)
