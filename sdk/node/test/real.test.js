'use strict';

// Against a running `sealwright dev`, over its real HTTPS: what is sent here is stored, composed, signed and delivered
// into its outbox, and its webhook is the one a user would get. `npm run test:real` starts this file.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const { Webhook: StandardWebhook } = require('standardwebhooks');
const { Sealwright, SealwrightError, verifyWebhook } = require('sealwright');
const { rejection } = require('./support/client.js');
const { DEADLINE_MS, eventually } = require('./support/eventually.js');
const { withRealServer } = require('./support/ready-file.js');

withRealServer(againstRealServer);

function againstRealServer({ apiUrl, liveKey, outboxUrl, webhookSecret }) {
  const client = new Sealwright(liveKey, { baseUrl: apiUrl });
  const run = randomBytes(6).toString('hex');
  const recipient = `ann-${run}@example.org`;
  const from = 'hello@example.dev';
  // Longer than one base64 line and than any buffer it could fit into by luck; binary, so that no step may treat it as text.
  const attachment = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 31 + (index >> 8)) % 256));

  describe('a message sent through a real server', () => {
    const subject = `Order ${run} is on its way`;
    const draft = {
      from: `Shop <${from}>`,
      to: [recipient],
      subject,
      html: `<p>Your order <b>${run}</b> is on its way.</p>`,
      text: `Your order ${run} is on its way.`,
      tags: ['order', 'sdk-test'],
      metadata: { userId: 'user_123', order: run, paid: true, total: 12.5 },
      attachments: [{ filename: 'bill.bin', content: attachment, contentType: 'application/octet-stream' }],
    };
    let id;

    test('is accepted', async () => {
      const sent = await client.emails.send(draft);
      assert.match(sent.id, /^email_/);
      assert.equal(sent.object, 'email');
      assert.equal(sent.subject, subject);
      assert.deepEqual(sent.to, [recipient]);
      assert.ok(Math.abs(Date.parse(sent.createdAt) - Date.now()) < DEADLINE_MS, `createdAt is ${sent.createdAt}`);
      id = sent.id;
    });

    test('is delivered, and reads as it was written', async () => {
      const email = await eventually('the status "delivered"', async () => {
        const current = await client.emails.get(id);
        assert.ok(!['failed', 'bounced', 'suppressed', 'cancelled'].includes(current.status), `it is ${current.status}`);
        return current.status === 'delivered' ? current : undefined;
      });
      assert.equal(email.html, draft.html);
      assert.equal(email.text, draft.text);
      assert.deepEqual([...email.tags].sort(), draft.tags);
      assert.deepEqual(email.metadata, draft.metadata);
    });

    test('was tried once, and every step is told', async () => {
      const [attempt, ...others] = await client.emails.attempts(id);
      assert.deepEqual(others, []);
      assert.equal(attempt.state, 'finished');
      assert.equal(attempt.facts.steps.find((step) => step.verb === 'dot').code, 250);
      assert.deepEqual(attempt.facts.recipients.map((each) => each.recipient), [recipient]);
    });

    test('is in the list, by itself and by walking', async () => {
      const emails = await client.emails.list({ limit: 100 });
      assert.ok(emails.some((email) => email.id === id));
      assert.equal(typeof emails.hasMore, 'boolean');
      assert.ok(emails.totalCount >= emails.length);
      let isFound = false;
      for await (const email of client.emails.iterate({ limit: 1 })) {
        isFound = email.id === id;
        if (isFound) break;
      }
      assert.ok(isFound);
    });

    test('is found by its recipient and status', async () => {
      const emails = await client.emails.list({ to: recipient, status: 'delivered' });
      assert.deepEqual(emails.map((email) => email.id), [id]);
      assert.equal(emails.hasMore, false);
    });

    test('arrived whole and signed', async () => {
      const message = await arrived(subject);
      assert.equal(message.dkim, 'pass');
      assert.ok([message.to].flat().includes(recipient), `it went to ${message.to}`);
      const head = message.raw.split(/\r?\n\r?\n/, 1)[0].replace(/\r?\n[ \t]+/g, ' ');
      assert.match(head, new RegExp(`^Subject: ${subject}$`, 'm'));
      assert.match(head, /^From: .*hello@example\.dev/m);
      assert.match(head, /^DKIM-Signature: .*d=example\.dev/m);
      assert.match(message.raw, /filename="?bill\.bin"?/);
      assert.ok(message.raw.replace(/\s+/g, '').includes(attachment.toString('base64')), 'the attachment is not in the raw message');
    });

    test('is told of by a webhook whose signatures verify', async () => {
      const { delivery, event } = await eventually('a webhook for "email.delivered"', async () => {
        const { webhooks } = await arrived(subject);
        const found = webhooks.map((each) => ({ delivery: each, event: JSON.parse(each.body) }));
        return found.find((each) => each.event.type === 'email.delivered');
      });
      const secret = delivery.secret ?? webhookSecret;
      assert.equal(typeof secret, 'string', 'neither the recorded webhook nor the ready file tells the secret');
      const headers = lowerCaseNames(delivery.headers);
      assert.deepEqual(verifyWebhook(delivery.body, headers['lettr-signature'], secret), event);
      assert.equal(event.data.emailId, id);
      assert.equal(event.data.metadata.order, run);
      assert.throws(() => verifyWebhook(delivery.body.replace('delivered', 'bounced'), headers['lettr-signature'], secret), SealwrightError);
      assert.deepEqual(new StandardWebhook(secret).verify(delivery.body, headers), event);
      assert.equal(JSON.stringify(JSON.parse(delivery.body)), delivery.body);
    });
  });

  describe('an idempotency key at a real server', () => {
    const draft = { from, to: recipient, subject: `Once ${run}`, text: 'Once.' };
    const idempotencyKey = `sdk-test-${run}`;

    test('makes two sends one message', async () => {
      const first = await client.emails.send(draft, { idempotencyKey });
      const second = await client.emails.send(draft, { idempotencyKey });
      assert.deepEqual(second, first);
    });

    test('is refused for another message', async () => {
      const error = await rejection(client.emails.send({ ...draft, text: 'Twice?' }, { idempotencyKey }));
      assert.equal(error.code, 'idempotency_key_conflict');
      assert.equal(error.status, 409);
    });
  });

  describe('a refusal of a real server', () => {
    test('names the field and the request', async () => {
      const error = await rejection(client.emails.send({ from: 'x@not-verified.example', to: recipient, subject: 'x', text: 'x' }));
      assert.ok(error.status >= 400 && error.status < 500, `status is ${error.status}`);
      assert.match(error.param ?? '', /from/);
      assert.ok(error.requestId);
    });

    test('tells an unknown key and an unknown id', async () => {
      const stranger = new Sealwright('le_000000000000000000000000000000000000', { baseUrl: apiUrl });
      const unauthorized = await rejection(stranger.emails.list());
      assert.equal(unauthorized.status, 401);
      assert.equal(unauthorized.code, 'unauthorized');
      const missing = await rejection(client.emails.get('email_00000000000000000000000000'));
      assert.equal(missing.status, 404);
      assert.equal(missing.code, 'not_found');
    });
  });

  test('a webhook endpoint at a real server is created, read, listed and deleted', async () => {
    const url = `https://hooks.example.org/${run}`;
    const created = await client.webhooks.create({ url, events: ['email.*'] });
    assert.match(created.id, /^wh_/);
    assert.match(created.secret, /^whsec_/);
    const read = await client.webhooks.get(created.id);
    assert.equal(read.url, url);
    assert.deepEqual(read.events, ['email.*']);
    assert.equal(read.secret, undefined);
    assert.ok((await client.webhooks.list({ limit: 100 })).some((webhook) => webhook.id === created.id));
    assert.equal((await client.webhooks.delete(created.id)).deleted, true);
    assert.equal((await rejection(client.webhooks.get(created.id))).code, 'not_found');
  });

  /** The one message with this subject in the server's outbox, once it is there. */
  function arrived(subject) {
    return eventually(`"${subject}" in the outbox`, async () => {
      const response = await fetch(outboxUrl, { headers: { Accept: 'application/json' } });
      assert.equal(response.status, 200);
      const { messages } = await response.json();
      const found = messages.filter((message) => message.subject === subject);
      assert.ok(found.length <= 1, `it arrived ${found.length} times`);
      return found[0];
    });
  }
}

/** Headers as recorded, an object or a list of pairs, under the names Node would give them. */
function lowerCaseNames(headers) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
}
