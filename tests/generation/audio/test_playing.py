"""The joined file in a real browser: it loads, knows its duration, and seeks to what it should.

What is heard is looked at through Web Audio: every part is a tone of its own.
"""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api as playwright

from generation.audio import codec, mp3
from generation.audio.tags import Chapter, write_tags
from tests import needs
from tests.generation.audio.sounds import tone

PATIENCE_MS = 30_000
PART_SECONDS = 20
HERTZ = [500 + 500 * number for number in range(9)]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]

LOAD = """url => new Promise((resolve, reject) => {
    const context = new AudioContext();
    window.analyser = context.createAnalyser();
    window.analyser.fftSize = 8192;
    window.analyser.smoothingTimeConstant = 0;
    window.audio = new Audio(url);
    context.createMediaElementSource(window.audio).connect(window.analyser);
    window.analyser.connect(context.destination);
    window.audio.onerror = () => reject(window.audio.error.message);
    window.audio.oncanplay = () => resolve(window.audio.duration);
})"""
SEEK = """seconds => new Promise(resolve => {
    window.audio.onseeked = () => resolve(window.audio.play());
    window.audio.currentTime = seconds;
})"""
HEARD = """hertz => {
    const spectrum = new Float32Array(window.analyser.frequencyBinCount);
    window.analyser.getFloatFrequencyData(spectrum);
    const loudest = spectrum.indexOf(Math.max(...spectrum));
    const heard = loudest * window.analyser.context.sampleRate / window.analyser.fftSize;
    return Math.abs(heard - hertz) < 50;
}"""


class Ranges(http.server.BaseHTTPRequestHandler):
    """Answers with a part of the file where a part is asked for, as servers of files do."""

    path_served: Path
    asked: list[str]

    def do_GET(self) -> None:
        if self.path != "/sound.mp3":
            self._answer(200, "text/html", b"<!doctype html><title>Player</title>")
            return
        data = self.path_served.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, "audio/mpeg", data)
            return
        self.asked.append(asked[0])
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        part = f"bytes {start}-{end}/{len(data)}"
        self._answer(206, "audio/mpeg", data[start : end + 1], {"Content-Range": part})

    def _answer(
        self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
        for name, value in {"Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            return  # the browser has enough: it goes on elsewhere in the file

    def log_message(self, *arguments: Any) -> None:
        """Nothing: pytest shows what matters."""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return tmp_path / "sound.mp3"


@pytest.fixture
def page(sound: Path) -> Iterator[Any]:
    handler = type("Handler", (Ranges,), {"path_served": sound, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with playwright.sync_playwright() as tool:
            chromium = tool.chromium.launch(executable_path=needs.CHROMIUM, args=ARGUMENTS)
            page = chromium.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            yield page
            chromium.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# One bit rate throughout, and three that take turns, for which only the table of contents
# tells where a moment is.
@needs.chromium
@pytest.mark.parametrize("bit_rates", [(48,), (32, 144, 64)], ids=["constant", "changing"])
def test_joined_file_in_chromium_plays_seeks_and_has_its_duration(
    page: Any, sound: Path, bit_rates: tuple[int, ...]
) -> None:
    joined = mp3.join(
        (
            mp3.Part(
                tone(
                    hertz,
                    seconds=PART_SECONDS,
                    into=codec.Format(24_000, 1, bit_rates[number % len(bit_rates)]),
                )
            )
            for number, hertz in enumerate(HERTZ)
        ),
        sound,
    )
    chapters = [Chapter(f"{hertz} Hz", 0, 1) for hertz in HERTZ]
    write_tags(sound, title="Tones", duration_ms=joined.duration_ms, chapters=chapters)

    duration = page.evaluate(LOAD, "/sound.mp3")
    assert duration * 1000 == pytest.approx(joined.duration_ms, abs=60)

    for number in (6, 1, 8, 3):
        page.evaluate(SEEK, joined.offsets_ms[number] / 1000 + PART_SECONDS / 2)
        page.wait_for_function(HEARD, arg=HERTZ[number])
