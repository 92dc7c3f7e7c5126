"""Verifies recorded webhook deliveries: .deps/venv/bin/python tools/verify-webhooks.py FILE

FILE holds one JSON object a line, `{"headers": {…}, "body": "…", "secret": "whsec_…"}`: what a receiver was sent, and the
secret it was given. Each delivery must carry three signatures over the same bytes, and each is checked by code that is
not ours: Standard Webhooks by the `standardwebhooks` package, the other two by a few lines as a receiver would write.
Then one byte of the body is changed, and each check must refuse. To be run within five minutes of the recording, the
age that receivers allow.
"""

import hashlib
import hmac
import json
import sys
import time

from standardwebhooks import Webhook, WebhookVerificationError

AGE_SECONDS_MAX = 300


class Refused(Exception):
    pass


def standard_webhooks(headers, body, secret):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError as error:
        raise Refused(str(error)) from None


def lettr_signature(headers, body, secret):
    """`t=<unix>,v1=<hex>[,v1=<hex>]`: HMAC-SHA256 by the whole secret string over `t.body`; two v1 while a secret is rotated."""
    parts = [part.partition("=")[::2] for part in headers["lettr-signature"].split(",")]
    times = [value for name, value in parts if name == "t"]
    if len(times) != 1 or not times[0].isdigit():
        raise Refused("no time")
    if abs(time.time() - int(times[0])) > AGE_SECONDS_MAX:
        raise Refused("too old or too new")
    expected = hmac.new(secret.encode(), times[0].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(value, expected) for name, value in parts if name == "v1"):
        raise Refused("no v1 matches")


def mailpipe_signature(headers, body, secret):
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(headers["x-mailpipe-signature"], expected):
        raise Refused("does not match")


CHECKS = {
    "webhook-signature": standard_webhooks,
    "lettr-signature": lettr_signature,
    "x-mailpipe-signature": mailpipe_signature,
}


def outcome(check, headers, body, secret):
    try:
        check(headers, body, secret)
        return None
    except Refused as refusal:
        return str(refusal)
    except KeyError as missing:
        return f"header {missing} is missing"


def main():
    passed = failed = 0
    for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
        delivery = json.loads(line)
        headers = {name.lower(): value for name, value in delivery["headers"].items()}
        body = delivery["body"].encode()
        tampered = bytes([body[0] ^ 1]) + body[1:]
        for name, check in CHECKS.items():
            problem = outcome(check, headers, body, delivery["secret"])
            if problem is None and outcome(check, headers, tampered, delivery["secret"]) is None:
                problem = "accepts a changed body"
            passed, failed = (passed + 1, failed) if problem is None else (passed, failed + 1)
            print(f"delivery {number}", name, "pass" if problem is None else "fail", problem or "", sep="\t")
    sys.stdout.flush()
    print(f"webhooks-python: {passed} passed, {failed} failed", file=sys.stderr)
    # No delivery proves nothing, so it is not a success.
    sys.exit(0 if passed and not failed else 1)


main()
