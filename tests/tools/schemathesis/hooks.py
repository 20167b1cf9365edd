"""What schemathesis is told of this API beyond its description."""

import re

import schemathesis

DURATION = re.compile(r"([0-9]+(ms|s|m|h))+")


@schemathesis.hook
def map_query(_context, query):
    """A wait that is one is kept, in its form, but made short: thousands of them would take days."""
    wait = (query or {}).get("wait")
    if isinstance(wait, str) and DURATION.fullmatch(wait):
        return {**query, "wait": re.sub(r"[0-9]+(ms|s|m|h)", "1ms", wait)}
    return query
