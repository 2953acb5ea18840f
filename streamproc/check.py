"""A pipeline checked before it runs, without opening hardware."""

from .config import Pipeline, check_graph, connect
from .errors import ConfigError
from .frame import Source, SourceInfo
from .graph import Step
from .parameters import Parameters
from .plugins import load, make_source, source_form
from .stage import rehearse


def check(pipeline: Pipeline) -> tuple[tuple[Step, ...], SourceInfo | None]:
    """Check source, graph and what is saved.

    Files and the simulation are opened, so what they are is checked against the
    graph; of any other source only the parameters are checked.

    Returns
    -------
    tuple
        The steps in the order they run, and what the source is, if it was opened.

    Raises
    ------
    ConfigError, SourceError
        As `run` would.
    """
    check_graph(pipeline)
    if not isinstance(pipeline.source, str):
        make = _checked(pipeline.source)
        if make is not None:
            graph, _ = connect(pipeline, make)
            return tuple(graph.steps.values()), None
    return _planned(pipeline)


def _planned(pipeline: Pipeline) -> tuple[tuple[Step, ...], SourceInfo]:
    from .job import Job

    source = make_source(pipeline.source)
    try:
        graph, handles = connect(pipeline, source)
        graph.form = pipeline.source
        saved = {name: handle.step for name, handle in handles.items()}
        plan = Job(graph, saved, pipeline.options()).plan
        if (stage := plan.segments[0].stage) is not None:
            rehearse(stage, source.info)  # parameters that contradict each other
        return plan.steps, source.info
    finally:
        source.close()


def _checked(given: dict[str, object]) -> Source | None:
    """Return a stand-in for a source that must not be opened, checked so far."""
    form = source_form(given)
    if form is None or len(given) != 1:
        raise ConfigError(
            f"source: needs one source with its parameters, got {given!r}"
        )
    name, parameters = next(iter(form.items()))
    kind = load("sources", name, "source")
    if getattr(kind, "suffixes", ()) or name == "simulation":
        return None
    Parameters(kind, positional=True).check(
        parameters or {}, owner=f"source {name!r}", path=f"source.{name}"
    )
    return object.__new__(kind)  # type: ignore[no-any-return]  # a plugin's class
