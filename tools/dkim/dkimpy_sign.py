"""Signs the message of standard input by dkimpy: DOMAIN SELECTOR KEY, the key in PKCS #8 and base64."""

import base64
import sys

import dkim
from cryptography.hazmat.primitives import serialization

domain, selector, key = sys.argv[1:]
key = serialization.load_der_private_key(base64.b64decode(key), None)
# dkimpy reads no other form.
form = serialization.PrivateFormat.TraditionalOpenSSL
key = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
message = sys.stdin.buffer.read()
sys.stdout.buffer.write(dkim.sign(message, selector.encode(), domain.encode(), key) + message)
