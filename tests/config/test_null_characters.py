"""A NUL character in an address, which PostgreSQL would refuse in the middle of a page."""

import pytest
from django.test import Client

from tests.factories.content import UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/my/episodes?q=a%00b",
        "/admin/duplication/duplication/?status__exact=%00",
        "/admin/django_q/success/?id=%00",
        "/admin/generation/generationmetrics/?provider=%00",
    ],
)
def test_page_at_an_address_with_a_nul_is_refused_and_says_so(address):
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    response = client.get(address)
    assert response.status_code == 400
    assert "NUL character" in response.text
    assert client.get(address.replace("%00", "")).status_code in (200, 302)


def test_api_refuses_a_nul_in_its_own_form():
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    response = client.get("/api/v1/duplications?status=%00")
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
