"""``streamproc verify``: a run's store against its ledger."""

from .common import ERROR, OK, RunArgument, Stopped


def verify(path: RunArgument) -> int:
    """Compare a run's store with its ledger: every pixel, checksum, row and count."""
    from ..verify import verify as compare

    found = compare(path)
    for problem in found.problems:
        print(problem)
    checked = (
        f"{found.frames:,} frames, {found.images:,} images, {found.chunks:,} chunks, "
        f"{found.tables:,} tables"
    )
    if found.is_sound:
        print(f"ok: {checked}")
        return OK
    raise Stopped(
        ERROR, f"{len(found.problems)} differences in {path} ({checked} checked)"
    )
