"""What schemathesis is told beside the document: whom a request comes from, and values that no schema can say.

Loaded by schemathesis itself, in the process that document.py starts.
"""

import atexit
import itertools
import json
import os
from collections import Counter
from pathlib import Path

import schemathesis

# A request that is good needs these: a sending domain is verified or not, whatever its form.
GOOD = {
    "sendEmail": {"from": "shop@edge.example", "to": "ada@example.com", "subject": "Order", "text": "Thank you."},
    "createWebhook": {"url": "https://shop.example.com/mail", "events": ["email.*"]},
    "createApiKey": {"permissions": ["emails:send"]},
    "updateApiKey": {"permissions": ["emails:send"]},
    "updateRelay": {"credentials": {"apiKey": "re_edge"}, "domains": []},
    "createSuppression": {"email": "gone@example.com", "type": "manual"},
    "addMember": {"issuerId": os.environ["EDGE_ISSUER"]},
    "updateSettings": {"securityContact": "ops@example.com", "browserOrigins": ["https://app.example.com"]},
}

numbers = itertools.count(1)
# Requests that the schema allows, by operation.
allowed = Counter()
answers = Counter()
# Ids of what was made, by the noun of their operations; schemathesis follows an answer to the next request only by luck.
made = {"Suppression": [], "Template": [], "Webhook": []}
deliveries = []


def operation(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.hook
def before_call(_context, case, _kwargs):
    number = next(numbers)
    # A network that sends junk without a key is soon shut out; each request comes from another one.
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
    if operation(case) == "removeSessionIssuer" and case.path_parameters.get("id") == os.environ["EDGE_ISSUER"]:
        # Members are of this one. Its id is found in lists.
        case.path_parameters["id"] = "iss_00000000000000000000000000"
    if operation(case) in ("checkSuppression", "deleteSuppressionByAddress") and number % 2:
        case.query = {"email": "gone@example.com"}
    for noun, ids in made.items():
        if operation(case) in (f"{verb}{noun}" for verb in ("get", "update", "delete", "render", "test", "replay")) and number % 2 and ids:
            case.path_parameters["id"] = ids[-1]
    if "webhook" in operation(case).lower() and "{id}" in case.path and operation(case) != "deleteWebhook" and number % 2 and made["Webhook"]:
        # The one that the first sample went to has deliveries.
        case.path_parameters["id"] = deliveries[0][0] if deliveries else made["Webhook"][0]
        if "delivery_id" in case.path_parameters and deliveries:
            case.path_parameters["delivery_id"] = deliveries[0][1]
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    allowed[operation(case)] += is_valid
    # Every second one, so that what the schema alone allows is sent, too.
    if is_valid and allowed[operation(case)] % 2 and isinstance(case.body, dict):
        case.body = {**case.body, **GOOD.get(operation(case), {})}
        if operation(case) == "sendEmail" and allowed["sendEmail"] % 4 == 1:
            # Many fields of an e-mail exclude each other.
            case.body = dict(GOOD["sendEmail"])
        if operation(case) == "createDomain":
            case.body = {"name": f"d{number}.example"}
        if operation(case) == "createSuppression" and number % 4 == 3:
            case.body["email"] = f"gone{number}@example.com"  # one that is not freed by its address
        if operation(case) == "createTemplate":
            case.body = {"name": f"t{number}", "subject": "Hello {{name}}", "html": "<p>Hello {{name}}</p>", "text": "Hello {{name}}"}
        if operation(case) == "renderTemplate":
            case.body = {"variables": {"name": "Ada"}}
        if operation(case) == "updateTemplate":
            case.body = {"name": f"t{number}"}
        if operation(case) in ("createWebhook", "updateWebhook"):
            case.body = {"url": "https://hooks.example/in", "events": ["email.sent"]}
            if operation(case) == "updateWebhook":
                case.body = {"status": "active", "description": f"w{number}"}
        if operation(case) == "rotateWebhookSecret":
            case.body = {"compromised": True}
        if operation(case) == "testWebhook":
            case.body = {"eventType": "email.sent"}
        if operation(case) == "replayWebhook":
            case.body = {"since": "2026-01-01T00:00:00Z"}
        if operation(case) == "createRelay":
            case.body = {"name": f"r{number}", "provider": "resend", "credentials": {"apiKey": "re_edge"}}


@schemathesis.hook
def after_call(_context, case, response):
    answers[operation(case), response.status_code] += 1
    if operation(case) == "testWebhook" and response.status_code == 200:
        deliveries.append((case.path_parameters["id"], response.json()["deliveryId"]))
    for noun, ids in made.items():
        if operation(case) == f"create{noun}" and response.status_code == 201:
            ids.append(response.json()["id"])
        if operation(case).startswith(f"delete{noun}") and response.status_code == 200 and response.json()["id"] in ids:
            ids.remove(response.json()["id"])
            deliveries[:] = [pair for pair in deliveries if pair[0] != response.json()["id"]]


@atexit.register
def write_answers():
    rows = [[name, status, count] for (name, status), count in answers.items()]
    Path(os.environ["EDGE_ANSWERS"]).write_text(json.dumps(rows))
