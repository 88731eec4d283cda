"""Records against the schema, generated once; `tests/records/test_schema.py` checks that it is one."""

from functools import cache

import jsonschema

from helpers.record_schema import record_schema


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(record_schema())


def validate(document: object) -> None:
    """Raises `jsonschema.ValidationError` if a document does not fit."""
    _validator().validate(document)
