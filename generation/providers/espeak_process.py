"""One text said by eSpeak NG, in a process of its own: a request comes in on standard input
(JSON: text, voice, words_per_minute), a WAV file goes out on standard output.

Why a process: eSpeak NG keeps state between texts (the same text sounds different the second
time), it is GPL and global C, and a crash in it must not take a worker along. So this file
imports nothing of the project's, and eSpeak NG only when it runs.

Ends with UNKNOWN_VOICE, or with another status than 0 and the reason on standard error.
"""

import ctypes
import io
import json
import sys
import wave

UNKNOWN_VOICE = 3

# From espeak-ng/speak_lib.h.
RETRIEVAL = 1  # the sound goes to the callback, to no device
DONT_EXIT = 0x8000  # answer with an error instead of ending the process
RATE = 1
POSITION_CHARACTER = 1
CHARACTERS_UTF8 = 1
OK = 0

Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def require(status: int, what: str) -> None:
    if status != OK:
        sys.exit(f"eSpeak NG can't {what}: error {status}")


def main() -> None:
    import espeakng_loader

    request = json.load(sys.stdin.buffer)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(RETRIEVAL, 0, data, DONT_EXIT)
    if sample_rate <= 0:
        sys.exit("eSpeak NG can't read its data")
    if library.espeak_SetVoiceByName(request["voice"].encode()) != OK:
        sys.exit(UNKNOWN_VOICE)
    require(library.espeak_SetParameter(RATE, request["words_per_minute"], 0), "set its speed")

    sound = bytearray()

    def take(samples, count, events):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            sound.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = Callback(take)
    library.espeak_SetSynthCallback(callback)
    text = request["text"].encode()
    size = ctypes.c_size_t(len(text) + 1)
    require(
        library.espeak_Synth(text, size, 0, POSITION_CHARACTER, 0, CHARACTERS_UTF8, None, None),
        "say the text",
    )
    require(library.espeak_Synchronize(), "finish the text")

    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(sound)
    sys.stdout.buffer.write(file.getvalue())


if __name__ == "__main__":
    main()
