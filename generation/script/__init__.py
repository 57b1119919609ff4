"""From an episode's blocks to what is said: source, outline, script, segments."""
