'use strict';

// Against a running `sealwright dev`: mail that waits for its time, and mail in batches.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const { ConflictError, InvalidRequestError, NotFoundError, Sealwright } = require('sealwright');
const { rejection } = require('./support/client.js');
const { withRealServer } = require('./support/ready-file.js');

withRealServer(({ apiUrl, liveKey, testKey }) => {
  const client = new Sealwright(liveKey, { baseUrl: apiUrl });
  const run = randomBytes(6).toString('hex');
  const draft = { from: 'hello@example.dev', to: `ann.${run}@example.org`, subject: `Later ${run}`, text: 'Hello' };
  const hours = (count) => new Date(Date.now() + count * 3_600_000);

  describe('a scheduled message at a real server', () => {
    let id;

    test('waits', async () => {
      const at = hours(1);
      const sent = await client.emails.send({ ...draft, scheduledAt: at });
      id = sent.id;
      assert.deepEqual([sent.status, Date.parse(sent.scheduledAt)], ['scheduled', at.getTime()]);
      const waiting = await client.emails.list({ status: 'scheduled', to: draft.to });
      assert.deepEqual(waiting.map((email) => email.id), [id]);
      assert.equal((await client.emails.attempts(id)).length, 0);
    });

    test('is moved, within thirty days', async () => {
      const at = hours(2);
      assert.equal(Date.parse((await client.emails.update(id, { scheduledAt: at })).scheduledAt), at.getTime());
      assert.equal(Date.parse((await client.emails.get(id)).scheduledAt), at.getTime());
      for (const scheduledAt of [hours(-1), hours(31 * 24)]) {
        assert.equal((await rejection(client.emails.update(id, { scheduledAt }))).param, 'scheduledAt');
      }
    });

    test('can be read before it leaves', async () => {
      const { object, text, headers } = await client.emails.content(id);
      assert.deepEqual([object, text.trim()], ['email_content', 'Hello']);
      assert.ok(headers.some(({ name, value }) => name === 'Subject' && value === draft.subject), JSON.stringify(headers));
    });

    test('is cancelled, once', async () => {
      assert.deepEqual(await client.emails.cancel(id), { id, object: 'email', status: 'cancelled' });
      for (const call of [() => client.emails.cancel(id), () => client.emails.update(id, { scheduledAt: hours(3) })]) {
        const error = await rejection(call());
        assert.ok(error instanceof ConflictError);
        assert.equal(error.code, 'not_scheduled');
      }
      const events = await client.emails.events(id);
      assert.deepEqual([events[0].type, events.at(-1).type], ['email.scheduled', 'email.cancelled']);
      assert.deepEqual(events.at(-1).data.to, [draft.to]);
      assert.ok((await rejection(new Sealwright(testKey, { baseUrl: apiUrl }).emails.cancel(id))) instanceof NotFoundError);
    });
  });

  test('a batch tells of each message whether it was accepted, and the same when it is repeated', async () => {
    const drafts = [draft, { ...draft, to: ['bob@example.org', 'nobody'] }, { ...draft, scheduledAt: hours(1).toISOString() }];
    const idempotencyKey = `batch-${run}`;
    const items = await client.emails.sendBatch(drafts, { idempotencyKey });
    assert.deepEqual(items.map(({ index, status, error }) => [index, status ?? error.code]), [[0, 'queued'], [1, 'invalid_to'], [2, 'scheduled']]);
    assert.equal(items[1].error.param, 'to/1');
    assert.deepEqual(await client.emails.sendBatch(drafts, { idempotencyKey }), items);
    assert.equal((await client.emails.get(items[0].id)).subject, draft.subject);
    assert.equal((await client.emails.cancel(items[2].id)).status, 'cancelled');
    assert.ok((await rejection(client.emails.sendBatch([]))) instanceof InvalidRequestError);
  });

  test('an attachment that the server can not fetch is refused with its place', async () => {
    const attachments = [
      { filename: 'a.txt', content: Buffer.from('a') },
      { filename: 'b.txt', url: 'https://127.0.0.1:8443/b.txt' },
    ];
    const error = await rejection(client.emails.send({ ...draft, attachments }));
    assert.deepEqual([error.code, error.param], ['attachment_unreachable', 'attachments/1/url']);
  });
});
