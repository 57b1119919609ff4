"""Speech by Amazon Polly, through boto3.

Credentials are found as boto3 finds them (environment, profile, instance role); the region is
AWS_REGION. Voice names, engines and quotas: docs.aws.amazon.com/polly.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from functools import cached_property
from typing import Any
from xml.sax.saxutils import escape

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnection
from django.conf import settings

from generation.audio import mp3
from generation.audio.frames import NotMp3
from generation.providers.contract import ProviderBusy, ProviderFailed

SAMPLE_RATE = 24_000
ENGINES = ("standard", "neural", "long-form", "generative")
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 5, 60
# Quotas are per second, so a throttled call soon finds a place.
RETRY_AFTER_SECONDS = 2.0
UNREACHABLE_RETRY_SECONDS = 30.0
# What is longer, Polly cuts off and says nothing.
LONGEST_MS = 10 * 60 * 1000
CUT_OFF_MARGIN_MS = 1000
SLOWEST, FASTEST = 0.2, 2.0

THROTTLED = {
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ServiceFailureException",
    "RequestTimeout",
}
CREDENTIALS = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


class PollySpeech:
    """One engine's voices. Texts are sent as plain text; another speed makes SSML of them."""

    name = "polly"
    mime_type = "audio/mpeg"
    max_chars = 3000  # billed characters in one call

    def __init__(self) -> None:
        self.model: str = settings.POLLY_ENGINE
        self.max_parallel: int = settings.POLLY_MAX_PARALLEL
        self.voices: Mapping[str, str] = {
            "host": settings.POLLY_VOICE_HOST,
            "guest": settings.POLLY_VOICE_GUEST,
        }

    @classmethod
    def misconfigured(cls) -> list[str]:
        wrong = []
        if settings.POLLY_ENGINE not in ENGINES:
            wrong.append(
                f"POLLY_ENGINE is “{settings.POLLY_ENGINE}”. Set it to one of {', '.join(ENGINES)}."
            )
        if settings.POLLY_MAX_PARALLEL < 1:
            wrong.append("POLLY_MAX_PARALLEL must be at least 1.")
        if settings.POLLY_USD_PER_MILLION_CHARS < 0:
            wrong.append("POLLY_USD_PER_MILLION_CHARS is a price: set it to 0 or more.")
        return wrong

    def sound_parameters(self, voice: str, speed: float) -> dict[str, Any]:
        return {
            "provider": self.name,
            "model": self.model,
            "voice": voice,
            "speed": _checked(speed),
            "format": f"mp3 {SAMPLE_RATE} Hz",
            "encoder": "polly",  # Amazon tells no version
        }

    def say(self, text: str, *, voice: str, speed: float = 1.0) -> bytes:
        if _checked(speed) == 1.0:
            said = {"Text": text, "TextType": "text"}
        else:
            rate = f"{round(speed * 100)}%"
            ssml = f'<speak><prosody rate="{rate}">{escape(text)}</prosody></speak>'
            said = {"Text": ssml, "TextType": "ssml"}
        try:
            response = self._client.synthesize_speech(
                Engine=self.model,
                OutputFormat="mp3",
                SampleRate=str(SAMPLE_RATE),
                VoiceId=voice,
                **said,
            )
            # As its own context manager it gives the raw stream, whose errors are urllib3's.
            with closing(response["AudioStream"]) as stream:
                sound: bytes = stream.read()
        except ClientError as error:
            raise _meant(error) from error
        except (NoConnection, HTTPClientError) as error:
            raise ProviderBusy(
                f"Amazon Polly can't be reached: {error}", UNREACHABLE_RETRY_SECONDS
            ) from error
        except (NoCredentialsError, PartialCredentialsError, NoAuthTokenError) as error:
            raise _wrong_key(str(error)) from error
        except NoRegionError as error:
            raise ProviderFailed(
                "provider_request", "Amazon Polly needs a region. Set AWS_REGION."
            ) from error
        except BotoCoreError as error:
            raise ProviderFailed(
                "provider_request", f"The request to Amazon Polly is wrong: {error}"
            ) from error
        return _whole(sound, text)

    def cost(self, chars: int) -> Decimal:
        return settings.POLLY_USD_PER_MILLION_CHARS * chars / 1_000_000

    @cached_property
    def _client(self) -> Any:
        """One for all threads: it may be shared, only making it may not (a session of its own)."""
        return boto3.session.Session().client(
            "polly",
            region_name=settings.AWS_REGION,
            config=Config(
                # Whoever called us waits and comes again, and shows why.
                retries={"total_max_attempts": 1},
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                max_pool_connections=max(10, self.max_parallel),
            ),
        )


def _checked(speed: float) -> float:
    if not SLOWEST <= speed <= FASTEST:
        raise ProviderFailed(
            "provider_input",
            f"Amazon Polly can't speak at {speed:g} times the usual speed. "
            f"Choose one from {SLOWEST:g} to {FASTEST:g}.",
        )
    return speed


def _meant(error: ClientError) -> ProviderBusy | ProviderFailed:
    """What Polly's answer means for whoever called."""
    code = error.response["Error"].get("Code", "")
    told = error.response["Error"].get("Message", "") or code
    answer = error.response["ResponseMetadata"]
    status = answer.get("HTTPStatusCode", 0)
    if code in THROTTLED or status == 429 or status >= 500:
        after = answer.get("HTTPHeaders", {}).get("retry-after", "")
        seconds = float(after) if after.isdecimal() else RETRY_AFTER_SECONDS
        return ProviderBusy(f"Amazon Polly is busy: {told}", seconds)
    if code in CREDENTIALS or status in (401, 403):
        return _wrong_key(told)
    if code == "TextLengthExceededException":
        return ProviderFailed(
            "provider_length",
            f"A segment is too long for Amazon Polly: {told} Shorten its sentences in the script.",
        )
    return ProviderFailed(
        "provider_request",
        f"Amazon Polly refused the request ({code}): {told} "
        "Check the voice, and POLLY_ENGINE: not every voice has every engine.",
    )


def _wrong_key(told: str) -> ProviderFailed:
    return ProviderFailed(
        "provider_key",
        f"Amazon Polly doesn't take the credentials: {told} "
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the role the right "
        "polly:SynthesizeSpeech.",
    )


def _whole(sound: bytes, text: str) -> bytes:
    try:
        measured = mp3.measure(io.BytesIO(sound))
    except NotMp3 as error:
        raise ProviderFailed(
            "provider_malformed",
            f"Amazon Polly answered with {len(sound)} bytes that are no MP3. {error} "
            "Retry; if it stays so, ask Amazon's support.",
        ) from error
    if measured.duration_ms > LONGEST_MS - CUT_OFF_MARGIN_MS:
        raise ProviderFailed(
            "provider_length",
            f"Amazon Polly cuts sound off after {LONGEST_MS // 60_000} minutes, and "
            f"“{text[:60]}” is longer. Choose a higher speed.",
        )
    return sound
