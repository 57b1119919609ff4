"""Each kind of error as its caller receives it: over HTTP, from views that raise it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import Client, override_settings
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.authtoken.models import Token
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from config.api.pagination import NewestFirstPagination
from tests.factories.content import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class LeafSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()


class TreeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    leaves = LeafSerializer(many=True)
    weights = serializers.ListField(child=serializers.IntegerField(), default=list)

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        if attributes["name"] == "bad":
            raise serializers.ValidationError("Not this name.", code="taboo")
        return attributes


class InvalidView(APIView):
    def post(self, request: Request) -> Response:
        TreeSerializer(data=request.data).is_valid(raise_exception=True)
        return Response({})


class NeverThrottle(BaseThrottle):
    def allow_request(self, request: Request, view: APIView) -> bool:
        return False

    def wait(self) -> float:
        return 7


class ThrottledView(APIView):
    throttle_classes = [NeverThrottle]


class RaisingView(APIView):
    error: Exception = Exception()

    def get(self, request: Request) -> Response:
        raise self.error


class Gone(exceptions.APIException):
    status_code = 410
    default_code = "gone"
    default_detail = "It was here."
    extra = {"since": "yesterday"}


class FormView(APIView):
    """Reads the body the way Django does."""

    def post(self, request: Request) -> Response:
        return Response({"length": len(request._request.body)})


class NewestView(APIView):
    def get(self, request: Request) -> Response:
        pages = NewestFirstPagination()
        page = pages.paginate_queryset(User.objects.all(), request) or []
        return pages.get_paginated_response([user.pk for user in page])


urlpatterns = [
    path("api/invalid", InvalidView.as_view()),
    path("api/throttled", ThrottledView.as_view()),
    path("api/denied", RaisingView.as_view(error=PermissionDenied("Ask Ada."))),
    path("api/missing", RaisingView.as_view(error=Http404("No such thing."))),
    path("api/gone", RaisingView.as_view(error=Gone())),
    path("api/broken", RaisingView.as_view(error=RuntimeError("the secret"))),
    path("api/form", FormView.as_view()),
    path("api/newest", NewestView.as_view()),
]


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.force_authenticate(UserFactory())
    return client


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that `response` is, after what holds of each."""
    assert response["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert response.status_code == found["status"] == status
    assert found["type"] == "about:blank"
    assert found["title"]
    assert found["detail"]
    assert found["code"]
    return found


def mistakes(response: Any) -> dict[str, str]:
    return {each["pointer"]: each["code"] for each in problem(response, 400)["errors"]}


# --- invalid input ----------------------------------------------------------------


def test_invalid_input_points_into_lists_and_nested_objects(api: APIClient) -> None:
    body = {"leaves": [{"number": 1}, {"number": "x"}, {}], "weights": [1, "heavy"]}
    response = api.post("/api/invalid", body, format="json")
    assert mistakes(response) == {
        "/name": "required",
        "/leaves/1/number": "invalid",
        "/leaves/2/number": "required",
        "/weights/1": "invalid",
    }


def test_invalid_input_as_a_whole_has_an_empty_pointer(api: APIClient) -> None:
    response = api.post("/api/invalid", {"name": "bad", "leaves": []}, format="json")
    assert mistakes(response) == {"": "taboo"}


def test_invalid_input_of_another_shape_has_an_empty_pointer(api: APIClient) -> None:
    assert mistakes(api.post("/api/invalid", ["x"], format="json")) == {"": "invalid"}
    body = {"name": "n", "leaves": {"number": 1}}
    assert mistakes(api.post("/api/invalid", body, format="json")) == {"/leaves": "not_a_list"}


@pytest.mark.parametrize("body", ["{", "", "NaN", '{"a": 1}}', "\xff", "[" * 100_000, "9" * 10_000])
def test_body_that_is_no_json_is_a_parse_error(api: APIClient, body: str) -> None:
    response = api.generic("POST", "/api/invalid", body.encode("latin-1"), "application/json")
    if body:
        assert problem(response, 400)["code"] == "parse_error"
    else:
        assert mistakes(response)["/name"] == "required"


# --- who, what, how -----------------------------------------------------------------


def test_anonymous_is_told_how_to_authenticate() -> None:
    response = APIClient().post("/api/invalid")
    assert problem(response, 401)["code"] == "not_authenticated"
    assert response["WWW-Authenticate"] == "Token"


def test_wrong_token_is_told_so() -> None:
    response = APIClient(headers={"Authorization": "Token nope"}).post("/api/invalid")
    assert problem(response, 401)["code"] == "authentication_failed"
    assert response["WWW-Authenticate"] == "Token"


def test_session_without_a_csrf_token_is_forbidden_and_a_token_needs_none() -> None:
    user = UserFactory()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    assert problem(browser.post("/api/form"), 403)["code"] == "permission_denied"
    key = Token.objects.create(user=user).key
    script = APIClient(enforce_csrf_checks=True, headers={"Authorization": f"Token {key}"})
    assert script.post("/api/form", {}, format="json").status_code == 200


def test_djangos_own_refusals_keep_their_words(api: APIClient) -> None:
    denied = problem(api.get("/api/denied"), 403)
    assert (denied["code"], denied["detail"]) == ("permission_denied", "Ask Ada.")
    missing = problem(api.get("/api/missing"), 404)
    assert (missing["code"], missing["detail"]) == ("not_found", "No such thing.")


def test_error_with_more_to_say_says_it(api: APIClient) -> None:
    gone = problem(api.get("/api/gone"), 410)
    assert (gone["code"], gone["title"], gone["since"]) == ("gone", "Gone", "yesterday")


def test_method_that_is_not_there_is_answered_with_those_that_are(api: APIClient) -> None:
    response = api.get("/api/invalid")
    assert problem(response, 405)["code"] == "method_not_allowed"
    assert "POST" in response["Allow"]


def test_media_type_that_is_not_read_is_refused(api: APIClient) -> None:
    response = api.generic("POST", "/api/invalid", "name=n", "application/x-www-form-urlencoded")
    assert problem(response, 415)["code"] == "unsupported_media_type"


def test_media_type_that_is_not_written_is_refused(api: APIClient) -> None:
    response = api.post("/api/invalid", {}, format="json", headers={"Accept": "text/html"})
    assert problem(response, 406)["code"] == "not_acceptable"


def test_throttled_is_told_when_to_come_back(api: APIClient) -> None:
    response = api.get("/api/throttled")
    assert problem(response, 429)["code"] == "throttled"
    assert response["Retry-After"] == "7"


# --- size ---------------------------------------------------------------------------


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100)
def test_body_over_the_limit_is_refused_and_one_of_the_limit_is_not(api: APIClient) -> None:
    body = {"name": "n", "leaves": []}
    padding = 100 - len(json.dumps(body))
    exact, over = (json.dumps(body) + " " * more for more in (padding, padding + 1))
    assert api.generic("POST", "/api/invalid", exact, "application/json").status_code == 200
    response = api.generic("POST", "/api/invalid", over, "application/json")
    refused = problem(response, 413)
    assert refused["code"] == "request_too_large"
    assert "100 bytes" in refused["detail"]


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100)
def test_body_over_the_limit_that_django_refuses_is_the_same_problem(api: APIClient) -> None:
    response = api.generic("POST", "/api/form", "x" * 101, "application/json")
    assert problem(response, 413)["code"] == "request_too_large"


# --- elsewhere ------------------------------------------------------------------------


@pytest.mark.urls("config.urls")
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_unknown_path_is_a_problem_to_anybody(method: str) -> None:
    client = Client(enforce_csrf_checks=True)
    response = getattr(client, method)("/api/v1/nothing-here/")
    assert problem(response, 404)["code"] == "not_found"


@pytest.mark.urls("config.urls")
def test_unknown_path_below_the_sites_api_is_a_problem_and_elsewhere_is_not() -> None:
    assert problem(Client().get("/api/v2/episodes"), 404)["code"] == "not_found"
    assert problem(Client().get("/api/v1/episodes/"), 404)["code"] == "not_found"
    assert Client().get("/nowhere")["Content-Type"].startswith("text/html")


def test_unexpected_error_stays_djangos_and_tells_nothing() -> None:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(UserFactory())
    response = client.get("/api/broken")
    assert response.status_code == 500
    assert b"secret" not in response.content
    assert b"RuntimeError" not in response.content


# --- pages ----------------------------------------------------------------------------


def test_pages_newest_first_follow_their_cursor_in_both_directions(api: APIClient) -> None:
    UserFactory.create_batch(4)
    newest = list(User.objects.order_by("-id").values_list("pk", flat=True))
    first = api.get("/api/newest?page_size=2").data
    second = api.get(first["next"]).data
    assert first["results"] + second["results"] == newest[:4]
    assert api.get(second["previous"]).data["results"] == first["results"]


@pytest.mark.parametrize("cursor", ["cD1hYmM=", "cD0tMQ==", "x"])
def test_pages_with_a_forged_cursor_are_not_found(api: APIClient, cursor: str) -> None:
    assert problem(api.get(f"/api/newest?cursor={cursor}"), 404)["code"] == "not_found"
