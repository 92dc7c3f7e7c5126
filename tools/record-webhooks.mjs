// Prints the webhooks that a development server has sent, one JSON object a line, for verify-webhooks. To be run by
// with-dev-server.sh. The server's outbox keeps each as its receiver saw it: headers, and the body as text.
import { readFileSync } from 'node:fs';

const ready = JSON.parse(readFileSync(process.env.SEALWRIGHT_READY_FILE, 'utf8'));
const response = await fetch(ready.outboxUrl, { headers: { accept: 'application/json' } });
if (!response.ok) throw new Error(`the outbox answers ${response.status}`);

const { messages } = await response.json();
for (const { headers, body, secret } of messages.flatMap(message => message.webhooks ?? [])) {
  const named = Array.isArray(headers) ? Object.fromEntries(headers) : headers;
  console.log(JSON.stringify({ headers: named, body, secret: secret ?? ready.webhookSecret }));
}
