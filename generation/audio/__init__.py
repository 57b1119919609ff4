"""Sound as files: MP3 frames, joining, loudness, tags. Knows no provider, operation or episode."""
