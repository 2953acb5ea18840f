"""``streamproc schema``: what editors need to complete and check a pipeline."""

import json

from .common import OK


def schema() -> int:
    """Print the JSON Schema of pipeline files, for editors.

    Redirect it into a file, and begin pipelines with the line
    "# yaml-language-server: $schema=FILE".
    """
    from ..schema import pipeline_schema

    print(json.dumps(pipeline_schema(), indent=2, ensure_ascii=False))
    return OK
