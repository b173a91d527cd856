"""What schemathesis cannot know of Sluice from its description. Loaded by `st run` for
.ci/check-contract, which reads what is noted of each answer in the file SLUICE_CONTRACT_NOTES."""

import itertools
import json
import os

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

# In milliseconds. With less, requests are refused because of the time and not of what they are.
TIMEOUT, SHORTEST = "x-request-timeout-ms", 20_000

# How long polls may ask to wait, and do here; how long one without a body may take, in milliseconds:
# else the check would be waiting most of the time.
WAITS = {"timeout_ms": (300_000, 500), "timeout": (300, 0.5)}
BARE_POLL = 5_000

# The session that the examples of the description name: it is kept alive, so that they do something.
SESSION = {"consumer_id": "550e8400-e29b-41d4-a716-446655440000", "group_id": "of-the-examples",
           "topics": ["orders"], "auto_offset_reset": "earliest", "session_timeout_ms": 3_600_000}

NUMBERS = itertools.count()

# Refusals of what is right by the description, and why they are.
REFUSALS = {
    "schema_registry_not_configured": "these nodes have no schema registry",
    "invalid_record": "the formats in the query say what a record must be",
    "invalid_base64": "the formats in the query say what a record must be",
    "no_committed_offset": "the group has committed nothing",
}


@schemathesis.hook
def before_call(context, case, kwargs):
    give_time(case)
    shorten_wait(case)
    # A schema is for Avro only, and nobody can make a cursor up: neither can be said in a description,
    # and a request with one would be refused whatever else it has.
    for part in ("key", "value"):
        if case.query and case.query.get(f"{part}.format") != "avro":
            case.query.pop(f"{part}.schema", None)
    if isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items()
                     if not (name in ("after", "cursor") and isinstance(value, str) and value)}
    if isinstance(case.body, dict) and isinstance(group := case.body.get("group_id"), str):
        # Sessions of one group wait for each other. What is too long, or empty, is left as wrong as it is.
        if 0 < len(group) <= 240:
            case.body = {**case.body, "group_id": f"{group}.{next(NUMBERS)}"}
    # Stateful cases delete it, and see that it is gone.
    is_stateful = case.meta is not None and case.meta.phase.name == "stateful"
    if (case.path_parameters or {}).get("id") == SESSION["consumer_id"] and not is_stateful:
        base = case.operation.schema.get_base_url().rstrip("/")
        requests.post(f"{base}/api/consumers/subscribe", json=SESSION, timeout=40).raise_for_status()


def give_time(case):
    headers = case.headers or {}
    asked = next((value for name, value in headers.items() if name.lower() == TIMEOUT), None)
    if asked is not None and not is_time(asked):
        return
    if asked is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != TIMEOUT}
        case.headers = {**headers, TIMEOUT: str(max(int(asked), SHORTEST))}


def shorten_wait(case):
    if not case.path.endswith("/consume"):
        return
    if not isinstance(case.body, dict):
        case.headers = {TIMEOUT: str(BARE_POLL), **(case.headers or {})}
        return
    body = dict(case.body)
    if case.path_parameters:
        # Of a session; the default is 30 s.
        body["timeout_ms"] = WAITS["timeout_ms"][0] if body.get("timeout_ms") is None else body["timeout_ms"]
    for field, (longest, here) in WAITS.items():
        asked = body.get(field)
        if isinstance(asked, (int, float)) and here < asked <= longest:
            body[field] = here
    case.body = body


def is_time(value):
    text = str(value)
    return text.isascii() and text.isdigit() and int(text) > 0


@schemathesis.hook
def after_call(context, case, response):
    note(operation=f"{case.method} {case.path}", status=response.status_code)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    reason = excuse(failure, case, response)
    if reason:
        note(excused=reason)
    return reason is None


def excuse(failure, case, response):
    """Why a failure is none, or `None`."""
    if isinstance(failure, AcceptedNegativeData):
        others = (ParameterLocation.PATH, ParameterLocation.QUERY, ParameterLocation.BODY)
        times = [value for name, value in (case.headers or {}).items() if name.lower() == TIMEOUT]
        if not any(map(case.meta.is_negative_at, others)) and all(map(is_time, times)):
            return "HTTP has servers ignore headers that they do not know"
    if isinstance(failure, RejectedPositiveData):
        code = code_of(response)
        if code in REFUSALS:
            return f"{code}: {REFUSALS[code]}"
    return None


def code_of(response):
    try:
        return json.loads(response.content)["code"]
    except (ValueError, KeyError, TypeError):
        return None


def note(**what):
    with open(os.environ["SLUICE_CONTRACT_NOTES"], "a", encoding="utf-8") as notes:
        notes.write(json.dumps(what) + "\n")
