"""The queue's door to the kernel: ids in, one call, nothing else."""

from operations import retention, runner


def run(kind: str, job_id: int | str) -> str:
    return runner.run_on(kind, job_id)


def prune() -> dict[str, int]:
    return retention.prune_for_a_while()
