"""``streamproc check``: a pipeline, without running it."""

from .common import OK, FileArgument, Settings, SourceOption, read_pipeline, size


def check(
    file: FileArgument,
    source: SourceOption = None,
    settings: Settings = None,
) -> int:
    """Check a pipeline without running it, and without opening hardware."""
    from ..check import check as check_pipeline
    from ..multirun.batch import first_readable, images_of, is_batch

    pipeline = read_pipeline(file, source, settings=settings)
    batch = images_of(pipeline) if is_batch(pipeline) else None
    steps, info = check_pipeline(first_readable(pipeline, batch) if batch else pipeline)
    print(f"ok: {file}")
    if batch is not None:
        print(f"  batch: {len(batch)} images, one run each; the first that opens:")
    if info is not None:
        count = "live" if info.live else f"{info.frames} frames"
        print(f"  source: {count}, {size(info.shape)} {info.dtype} ({info.axes})")
    for step in steps:
        if step.role != "source":
            made_of = ", ".join(i.name for i in step.inputs)
            print(f"  {step.name}: {step.operator} of {made_of} -> {step.kind}")
    print(f"  saved: {', '.join(pipeline.saved)}")
    return OK
