"""What the checkpoints of a run do, a step at a time: one module for each kind of work."""
