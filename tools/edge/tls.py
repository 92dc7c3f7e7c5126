"""TLS: sslyze with Mozilla's modern profile, and the key exchange that OpenSSL gets."""

import datetime
import json
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from server import serving

SECONDS_MAX = 60
# The profile asks for less than 90 days.
CERTIFICATE_DAYS = 47


def judge(verdicts, certificates):
    verdicts.part("TLS: sslyze with Mozilla's modern profile, OpenSSL")
    with tempfile.TemporaryDirectory() as folder:
        own = certificate(Path(folder))
        with serving(own) as server:
            scan(verdicts, server)
            exchange(verdicts, server)
    with serving(certificates) as server:
        verdicts.holds("a client that is strict about RFC 5280 takes the certificate of `sealwright dev`", *strict(server))


def scan(verdicts, server):
    """Nothing is excused: the certificate is one that an authority could have issued, and its authority is named."""
    with tempfile.NamedTemporaryFile() as report:
        command = [
            Path(sys.executable).with_name("sslyze"), "--mozilla_config=modern", "--early_data", f"--certinfo_ca_file={server.authority}",
            f"--json_out={report.name}", f"localhost:{server.port}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
        found = json.load(report)["server_scan_results"][0]["scan_result"]
    issues = [line.strip(" *") for line in done.stdout.splitlines() if line.startswith("        * ")]
    is_compliant = done.returncode == 0 and "OK - Compliant" in done.stdout
    verdicts.holds("the server complies with Mozilla's modern profile", is_compliant, "; ".join(issues))
    failed = [name for name, part in found.items() if part["status"] == "ERROR"]
    verdicts.holds("every scan was made", not failed, ", ".join(failed))
    verdicts.holds("early data is refused", not found["tls_1_3_early_data"]["result"]["supports_early_data"])
    suites = [suite["cipher_suite"]["name"] for suite in found["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"]]
    curves = [curve["name"] for curve in found["elliptic_curves"]["result"]["supported_curves"]]
    verdicts.tell(f"suites: {', '.join(suites)}; curves: {', '.join(curves)}")


def exchange(verdicts, server):
    """The OpenSSL that comes with Python's cryptography knows ML-KEM, whatever the system's does."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(server.authority))
    context.set_verify(SSL.VERIFY_PEER)
    with socket.create_connection(server.address) as plain:
        connection = SSL.Connection(context, plain)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        group, version = connection.get_group_name(), SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()
    verdicts.holds("the key exchange is X25519MLKEM768", group == "X25519MLKEM768", f"{group}, with {version}")


def strict(server):
    """What Python does by default from 3.13 on."""
    context = server.tls("http/1.1")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection(server.address) as plain, context.wrap_socket(plain, server_hostname="localhost"):
            return True, ""
    except ssl.SSLError as error:
        return False, str(error)


def certificate(folder):
    """A certificate for localhost such as a public authority issues, and the authority behind it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge tests")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                           "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)

    def issue(subject, public_key, **extensions):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        builder = builder.not_valid_after(now + datetime.timedelta(CERTIFICATE_DAYS))
        for extension, is_critical in extensions.values():
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    made = SimpleNamespace(authority=folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem")
    made.authority.write_bytes(issue(
        name, authority_key.public_key(),
        basic=(x509.BasicConstraints(ca=True, path_length=0), True),
        usage=(x509.KeyUsage(**{**usage, "key_cert_sign": True}), True),
        identifier=(identifier, False),
    ))
    made.cert.write_bytes(issue(
        x509.Name([]), key.public_key(),
        names=(x509.SubjectAlternativeName([x509.DNSName("localhost")]), True),
        usage=(x509.KeyUsage(**{**usage, "digital_signature": True}), True),
        purpose=(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
        identifier=(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        issuer=(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ))
    made.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    return made
