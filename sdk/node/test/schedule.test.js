'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { ConflictError } = require('sealwright');
const { clientOf, rejection } = require('./support/client.js');
const { dropConnection, problem } = require('./support/stand-in.js');

const DRAFT = { from: 'hello@example.com', to: 'ann@example.org', subject: 'Hi', text: 'Hello' };
const AT = new Date('2030-01-02T03:04:05.006Z');
const SCHEDULED = { id: 'email_1', object: 'email', status: 'scheduled', scheduledAt: AT.toISOString() };

/** What went over the wire, as `METHOD path` and body. */
function wire({ requests }) {
  return requests.map(({ method, url, body }) => (body === undefined ? [`${method} ${url}`] : [`${method} ${url}`, body]));
}

describe('a scheduled message', () => {
  test('is moved and cancelled', async (t) => {
    const cancelled = { id: 'email_1', object: 'email', status: 'cancelled' };
    const { client, server } = await clientOf(t, [{ body: SCHEDULED }, { body: SCHEDULED }, { body: cancelled }]);
    assert.deepEqual(await client.emails.update('email_1', { scheduledAt: AT }), SCHEDULED);
    assert.deepEqual(await client.emails.update('email_1', { scheduledAt: '2030-01-02T04:04:05+01:00' }), SCHEDULED);
    assert.deepEqual(await client.emails.cancel('email_1'), cancelled);
    assert.deepEqual(wire(server), [
      ['PATCH /v1/emails/email_1', { scheduledAt: AT.toISOString() }],
      ['PATCH /v1/emails/email_1', { scheduledAt: '2030-01-02T04:04:05+01:00' }],
      ['POST /v1/emails/email_1/cancel'],
    ]);
  });

  test('is not moved to a time that is none', async (t) => {
    const { client, server } = await clientOf(t, [{ body: SCHEDULED }]);
    assert.equal((await rejection(client.emails.update('email_1', { scheduledAt: new Date('soon') }))).param, 'scheduledAt');
    assert.equal((await rejection(client.emails.update('email_1', undefined))).param, 'change');
    assert.equal(server.requests.length, 0);
  });

  test('is moved a second time for a lost answer, but not cancelled a second time', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, { body: SCHEDULED }, dropConnection, problem(409, 'not_scheduled')]);
    assert.deepEqual(await client.emails.update('email_1', { scheduledAt: AT }), SCHEDULED);
    assert.equal((await rejection(client.emails.cancel('email_1'))).code, 'network_error');
    assert.equal(server.requests.length, 3);
    const error = await rejection(client.emails.cancel('email_1'));
    assert.ok(error instanceof ConflictError);
    assert.equal(error.code, 'not_scheduled');
  });
});

describe('a batch', () => {
  const refused = { index: 1, error: { code: 'invalid_to', message: 'about invalid_to', param: 'to/0' } };
  const answer = { body: { object: 'list', data: [{ index: 0, ...SCHEDULED }, refused] } };

  test('is one request, each of its messages as a send would have it', async (t) => {
    const { client, server } = await clientOf(t, [answer], { defaults: { from: 'shop@example.com' } });
    const bill = { filename: 'bill.pdf', content: Buffer.from([0, 255, 128]) };
    const terms = { filename: 'terms.pdf', url: 'https://files.example.com/terms.pdf' };
    const drafts = [{ ...DRAFT, scheduledAt: AT, attachments: [bill, terms] }, { to: ['nobody'], subject: 'Hi', html: '<p>Hi</p>' }];
    assert.deepEqual(await client.emails.sendBatch(drafts), answer.body.data);
    assert.deepEqual(wire(server), [
      [
        'POST /v1/emails/batch',
        [
          { ...DRAFT, to: ['ann@example.org'], scheduledAt: AT.toISOString(), attachments: [{ ...bill, content: 'AP+A' }, terms] },
          { from: 'shop@example.com', to: ['nobody'], subject: 'Hi', html: '<p>Hi</p>' },
        ],
      ],
    ]);
  });

  test('is repeated as it was, under one key', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, answer, answer]);
    await client.emails.sendBatch([DRAFT, DRAFT]);
    await client.emails.sendBatch([DRAFT], { idempotencyKey: 'batch-7' });
    const keys = server.requests.map(({ headers }) => headers['idempotency-key']);
    assert.equal(keys[0], keys[1]);
    assert.match(keys[0], /^[0-9a-f-]{36}$/);
    assert.equal(keys[2], 'batch-7');
    assert.equal(server.requests[0].text, server.requests[1].text);
  });

  test('refuses what is no list of messages, and says where', async (t) => {
    const { client, server } = await clientOf(t, [answer]);
    assert.equal((await rejection(client.emails.sendBatch(DRAFT))).param, 'drafts');
    assert.equal((await rejection(client.emails.sendBatch([DRAFT, 'Hi']))).param, 'drafts[1]');
    const error = await rejection(client.emails.sendBatch([DRAFT, { ...DRAFT, attachments: [{ filename: 'a', content: 7 }] }]));
    assert.equal(error.param, 'drafts[1].attachments[0].content');
    assert.match(error.message, /^emails\.sendBatch: /);
    assert.equal(server.requests.length, 0);
  });

  test('is an error with the key to go on with when the answer tells of no message', async (t) => {
    const { client } = await clientOf(t, [{ body: { object: 'list' } }]);
    const error = await rejection(client.emails.sendBatch([DRAFT], { idempotencyKey: 'batch-7' }));
    assert.deepEqual([error.code, error.idempotencyKey], ['response_invalid', 'batch-7']);
  });
});

test('the events and the content of a message are read by themselves', async (t) => {
  const event = { id: 'evt_1', type: 'email.scheduled', createdAt: '2026-11-22T03:14:01.020Z', data: { emailId: 'email_1' } };
  const content = { object: 'email_content', html: null, text: 'Hello\n', headers: [{ name: 'Subject', value: 'Hi' }] };
  const { client, server } = await clientOf(t, [
    { body: { object: 'list', data: [event], hasMore: false, totalCount: 1 } },
    { body: content },
    problem(410, 'content_expired'),
  ]);
  const events = await client.emails.events('email_1');
  assert.deepEqual([...events], [event]);
  assert.equal(await events.nextPage(), undefined);
  assert.deepEqual(await client.emails.content('email_1'), content);
  assert.equal((await rejection(client.emails.content('email_1'))).code, 'content_expired');
  assert.deepEqual(wire(server).slice(0, 2), [['GET /v1/emails/email_1/events'], ['GET /v1/emails/email_1/content']]);
});
