'use strict';

const assert = require('node:assert/strict');
const { afterEach, describe, test } = require('node:test');
const { Sealwright, SealwrightError } = require('sealwright');
const { answer, dropConnection, problem, startStandIn, staySilent } = require('./support/stand-in.js');

const KEY = 'le_test_not-a-real-key';
const DRAFT = { from: 'Shop <hello@example.com>', to: 'ann@example.org', subject: 'Hi', text: 'Hello' };
const SENT = { body: { id: 'email_1', object: 'email', status: 'queued' } };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const NOW = { headers: { 'Retry-After': '0' } };

let server;
afterEach(() => server?.close());

async function clientOf(steps, options) {
  server = await startStandIn(...steps);
  return new Sealwright(KEY, { baseUrl: server.baseUrl, ...options });
}

async function rejection(promise) {
  const error = await promise.then(
    (value) => assert.fail(`expected a rejection, got ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof SealwrightError, `expected a SealwrightError, got ${error}`);
  assert.ok(!JSON.stringify(error).includes(KEY) && !error.stack.includes(KEY), 'the key is in the error');
  return error;
}

function page(ids, hasMore, extra = {}) {
  return { body: { object: 'list', data: ids.map((id) => ({ id, object: 'email' })), hasMore, totalCount: 5, ...extra } };
}

describe('a send', () => {
  test('is one authorized JSON request with an idempotency key of its own', async () => {
    const client = await clientOf([SENT]);
    assert.deepEqual(await client.emails.send(DRAFT), SENT.body);
    await client.emails.send(DRAFT);
    const [first, second] = server.requests;
    assert.equal(`${first.method} ${first.url}`, 'POST /v1/emails');
    assert.equal(first.headers.authorization, `Bearer ${KEY}`);
    assert.equal(first.headers['content-type'], 'application/json');
    assert.match(first.headers['user-agent'], /^sealwright-node\/\d+\.\d+\.\d+$/);
    assert.match(first.headers['idempotency-key'], UUID);
    assert.notEqual(first.headers['idempotency-key'], second.headers['idempotency-key']);
    assert.deepEqual(first.body, { ...DRAFT, to: ['ann@example.org'] });
  });

  test('carries everything a draft can hold, bytes as base64, without changing the draft', async () => {
    const client = await clientOf([SENT]);
    const shared = Buffer.from('__PDF__');
    const draft = {
      ...DRAFT,
      from: { email: 'hello@example.com', name: 'Shop' },
      to: ['ann@example.org', { email: 'bob@example.org', name: 'Bob' }],
      cc: 'cc@example.org',
      bcc: ['bcc@example.org'],
      replyTo: 'reply@example.com',
      html: '<p>Žluťoučký 🐎</p>',
      headers: { 'X-Order': '7' },
      tags: ['order'],
      metadata: { userId: 'user_123', paid: true, total: 12.5 },
      scheduledAt: new Date('2030-01-02T03:04:05.006Z'),
      attachments: [
        { filename: 'a.bin', content: Buffer.from([0, 255, 128]), contentType: 'application/octet-stream' },
        { filename: 'b.pdf', content: new Uint8Array(shared.buffer, shared.byteOffset + 2, 3), cid: 'b' },
        { filename: 'c.txt', content: 'aGVsbG8=' },
        { filename: 'empty', content: new Uint8Array(0) },
      ],
    };
    const before = structuredClone({ ...draft, attachments: undefined });
    await client.emails.send(draft);
    assert.deepEqual(server.requests[0].body, {
      ...draft,
      cc: ['cc@example.org'],
      scheduledAt: '2030-01-02T03:04:05.006Z',
      attachments: [
        { filename: 'a.bin', content: 'AP+A', contentType: 'application/octet-stream' },
        { filename: 'b.pdf', content: 'UERG', cid: 'b' },
        { filename: 'c.txt', content: 'aGVsbG8=' },
        { filename: 'empty', content: '' },
      ],
    });
    assert.deepEqual({ ...draft, attachments: undefined }, before);
    assert.ok(Buffer.isBuffer(draft.attachments[0].content));
  });

  test('leaves judging the draft to the server', async () => {
    const client = await clientOf([problem(400, 'invalid_from', { param: 'from' })]);
    const error = await rejection(client.emails.send({ html: '<p>no sender, no recipient</p>' }));
    assert.deepEqual(server.requests[0].body, { html: '<p>no sender, no recipient</p>' });
    assert.equal(error.param, 'from');
  });

  test('refuses attachment content that is neither bytes nor a string', async () => {
    const client = await clientOf([SENT]);
    for (const content of [7, { type: 'Buffer', data: [1] }, new ArrayBuffer(1), null, Promise.resolve(Buffer.from('x'))]) {
      const error = await rejection(client.emails.send({ ...DRAFT, attachments: [{ filename: 'a', content }] }));
      assert.equal(error.param, 'attachments[0].content');
    }
    assert.equal(server.requests.length, 0);
  });

  test('refuses misspelt options and impossible idempotency keys before anything is sent', async () => {
    const client = await clientOf([SENT]);
    for (const idempotencyKey of ['', 'a b', 'a/b', 'ü', 'x'.repeat(256), 'a\r\nX-Evil: 1', 7, null]) {
      assert.equal((await rejection(client.emails.send(DRAFT, { idempotencyKey }))).param, 'idempotencyKey');
    }
    assert.match((await rejection(client.emails.send(DRAFT, { idempotencykey: 'a' }))).message, /unknown option "idempotencykey"/);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: new AbortController() }))).param, 'signal');
    assert.equal((await rejection(client.emails.send({ ...DRAFT, metadata: { total: 7n } }))).code, 'argument_invalid');
    assert.equal((await rejection(client.emails.send())).param, 'draft');
    assert.equal((await rejection(client.emails.send([DRAFT]))).param, 'draft');
    assert.equal(server.requests.length, 0);
    await client.emails.send(DRAFT, { idempotencyKey: 'x'.repeat(255) });
    assert.equal(server.requests[0].headers['idempotency-key'], 'x'.repeat(255));
  });
});

describe('a retry', () => {
  test('after a lost answer repeats the same bytes under the same key', async () => {
    const client = await clientOf([dropConnection, dropConnection, SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    assert.equal(server.requests.length, 3);
    assert.equal(new Set(server.requests.map((request) => request.headers['idempotency-key'])).size, 1);
    assert.equal(new Set(server.requests.map((request) => request.text)).size, 1);
  });

  test('keeps the key that the caller chose', async () => {
    const client = await clientOf([dropConnection, problem(503, 'unavailable', NOW), SENT]);
    await client.emails.send(DRAFT, { idempotencyKey: 'order-7' });
    assert.deepEqual(server.requests.map((request) => request.headers['idempotency-key']), ['order-7', 'order-7', 'order-7']);
  });

  test('waits as long as Retry-After says', async () => {
    const client = await clientOf([problem(429, 'rate_limit_exceeded', { headers: { 'Retry-After': '1' } }), SENT]);
    await client.emails.send(DRAFT);
    const [first, second] = server.requests;
    assert.ok(second.at - first.at >= 990, `came back after ${second.at - first.at} ms`);
  });

  test('waits for a first try that is still running, then gets its answer', async () => {
    const client = await clientOf([dropConnection, problem(409, 'idempotency_in_progress', NOW), SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    assert.equal(server.requests.length, 3);
  });

  test('covers an answer cut off in the middle', async () => {
    const cutOff = (request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
      response.write('{"id":', () => request.socket.destroy());
    };
    const client = await clientOf([cutOff, SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
  });

  test('ends after maxRetries with the last error, which carries the key to go on with', async () => {
    const client = await clientOf([problem(503, 'unavailable', NOW)], { maxRetries: 2 });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(server.requests.length, 3);
    assert.equal(error.status, 503);
    assert.equal(error.idempotencyKey, server.requests[0].headers['idempotency-key']);
  });

  test('does not happen with maxRetries 0', async () => {
    const client = await clientOf([dropConnection, SENT], { maxRetries: 0 });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.code, 'network_error');
    assert.equal(error.status, undefined);
    assert.match(error.idempotencyKey, UUID);
    assert.equal(server.requests.length, 1);
  });

  test('does not happen for 429 when the caller wants to see it', async () => {
    const client = await clientOf([problem(429, 'rate_limit_exceeded', { headers: { 'Retry-After': '7' } })], { retryOnRateLimit: false });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.retryAfter, 7);
    assert.equal(server.requests.length, 1);
  });

  test('does not wait an hour: a quota that far off is thrown at once', async () => {
    const client = await clientOf([problem(429, 'rate_limit_exceeded', { retryAfter: 3600 })]);
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.retryAfter, 3600);
    assert.equal(server.requests.length, 1);
  });

  test('does not happen for refusals', async () => {
    const client = await clientOf([problem(400, 'invalid_to'), problem(409, 'idempotency_key_conflict'), problem(500, 'internal')]);
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'invalid_to');
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'idempotency_key_conflict');
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'internal');
    assert.equal(server.requests.length, 3);
  });

  test('of a deletion happens when it was turned away, not when its answer was lost', async () => {
    const client = await clientOf([problem(503, 'unavailable', NOW), { body: { id: 'wh_1', object: 'webhook', deleted: true } }, dropConnection]);
    assert.equal((await client.webhooks.delete('wh_1')).deleted, true);
    assert.equal((await rejection(client.webhooks.delete('wh_1'))).code, 'network_error');
    assert.equal(server.requests.length, 3);
  });

  test('of a read happens after a lost answer', async () => {
    const client = await clientOf([dropConnection, SENT]);
    assert.equal((await client.emails.get('email_1')).id, 'email_1');
    assert.equal(server.requests.length, 2);
  });
});

describe('time and signals', () => {
  test('a silent server is a timeout, tried again', async () => {
    const client = await clientOf([staySilent, SENT], { timeoutMs: 300 });
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    const error = await rejection(new Sealwright(KEY, { baseUrl: (await restart(staySilent)).baseUrl, timeoutMs: 100, maxRetries: 0 }).emails.send(DRAFT));
    assert.equal(error.code, 'timeout');
    assert.match(error.message, /100 ms/);
  });

  test('an answer that never ends is a timeout too', async () => {
    const trickle = (_request, response) => response.writeHead(200).write('{"id":');
    const client = await clientOf([trickle], { timeoutMs: 200, maxRetries: 0 });
    assert.equal((await rejection(client.emails.get('email_1'))).code, 'timeout');
  });

  test('a signal ends a call under way', async () => {
    const client = await clientOf([staySilent]);
    const controller = new AbortController();
    const reason = new Error('shutting down');
    setTimeout(() => controller.abort(reason), 100);
    const error = await rejection(client.emails.send(DRAFT, { signal: controller.signal }));
    assert.equal(error.code, 'aborted');
    assert.equal(error.cause, reason);
    assert.equal(server.requests.length, 1);
  });

  test('a signal ends the wait between tries', async () => {
    const client = await clientOf([problem(503, 'unavailable', { headers: { 'Retry-After': '50' } })]);
    const controller = new AbortController();
    const started = performance.now();
    setTimeout(() => controller.abort(), 100);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: controller.signal }))).code, 'aborted');
    assert.ok(performance.now() - started < 10_000);
  });

  test('a signal that has fired already lets nothing out', async () => {
    const client = await clientOf([SENT]);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: AbortSignal.abort() }))).code, 'aborted');
    assert.equal(server.requests.length, 0);
  });
});

describe('an error', () => {
  test('tells all that the server said', async () => {
    const client = await clientOf([problem(400, 'invalid_parameter', { param: '/subject', docs: 'https://mail.example.com/docs' })]);
    const error = await rejection(client.emails.send(DRAFT));
    const { name, code, message, param, requestId, status, docs } = error;
    assert.deepEqual(
      { name, code, message, param, requestId, status, docs },
      {
        name: 'SealwrightError',
        code: 'invalid_parameter',
        message: 'about invalid_parameter',
        param: '/subject',
        requestId: 'req_body',
        status: 400,
        docs: 'https://mail.example.com/docs',
      },
    );
  });

  test('takes the request id from the header when the body has none, as a proxy answers', async () => {
    const client = await clientOf([{ status: 502, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad gateway</h1>' }], { maxRetries: 0 });
    const error = await rejection(client.emails.get('email_1'));
    assert.equal(error.code, 'response_invalid');
    assert.equal(error.status, 502);
    assert.equal(error.requestId, 'req_header');
    assert.ok(!error.message.includes('<h1>'));
  });

  test('is given for error objects of the wrong types instead of crashing on them', async () => {
    const bodies = [{ error: null }, { error: 'x' }, { error: { code: 7, message: {}, param: [], retryAfter: 'x' } }, 'null', '[]', '', '{'];
    const client = await clientOf(bodies.map((body) => ({ status: 400, body })));
    for (const _ of bodies) {
      const error = await rejection(client.emails.get('email_1'));
      assert.equal(error.code, 'response_invalid');
      assert.equal(error.status, 400);
      assert.equal(error.retryAfter, undefined);
    }
  });

  test('is given for a success that is no JSON object, as from a wrong baseUrl', async () => {
    const client = await clientOf([{ body: '<html></html>' }, { body: '[]' }, { body: '' }]);
    for (let round = 0; round < 3; round += 1) {
      assert.match((await rejection(client.emails.get('email_1'))).message, /baseUrl/);
    }
  });

  test('is given for a redirect: key and mail do not follow it', async () => {
    const elsewhere = await startStandIn(SENT);
    try {
      const client = await clientOf([(_request, response) => answer(response, { status: 307, headers: { Location: `${elsewhere.baseUrl}/v1/emails` } })]);
      assert.equal((await rejection(client.emails.send(DRAFT))).status, 307);
      assert.equal(elsewhere.requests.length, 0);
    } finally {
      await elsewhere.close();
    }
  });

  test('names the server that nobody listens at', async () => {
    const client = await clientOf([SENT], { maxRetries: 0 });
    await server.close();
    const error = await rejection(client.emails.get('email_1'));
    assert.equal(error.code, 'network_error');
    assert.match(error.message, /127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
  });

  test('explains an untrusted certificate and is not tried again', async () => {
    let calls = 0;
    const fetch = async () => {
      calls += 1;
      throw new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }) });
    };
    const client = new Sealwright(KEY, { baseUrl: 'https://127.0.0.1:9', fetch });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.code, 'tls_error');
    assert.match(error.message, /NODE_EXTRA_CA_CERTS/);
    assert.equal(calls, 1);
  });
});

describe('a list', () => {
  test('is an array that says more about the whole', async () => {
    const client = await clientOf([page(['email_1', 'email_2'], true, { totalCount: 10_000, totalCountCapped: true })]);
    const emails = await client.emails.list();
    assert.ok(Array.isArray(emails));
    assert.deepEqual([...emails], [{ id: 'email_1', object: 'email' }, { id: 'email_2', object: 'email' }]);
    assert.deepEqual(emails.data, [...emails]);
    const { object, hasMore, totalCount, totalCountCapped } = emails;
    assert.deepEqual({ object, hasMore, totalCount, totalCountCapped }, { object: 'list', hasMore: true, totalCount: 10_000, totalCountCapped: true });
    const seen = [];
    emails.forEach((email) => seen.push(email.id));
    assert.deepEqual(seen, ['email_1', 'email_2']);
    assert.deepEqual(emails.map((email) => email.id), ['email_1', 'email_2']);
    assert.equal(JSON.stringify(emails), JSON.stringify(emails.data));
  });

  test('sends its query as the API spells it', async () => {
    const client = await clientOf([page([], false)]);
    await client.emails.list();
    await client.emails.list({
      limit: 100,
      starting_after: 'email_9',
      status: 'delivered',
      to: 'a+b@example.org',
      tags: ['x', 'y z'],
      from_date: new Date('2026-01-02T03:04:05.000Z'),
      to_date: '2026-02-01',
      metadata: { userId: 'user_123' },
      ending_before: undefined,
    });
    assert.equal(server.requests[0].url, '/v1/emails');
    assert.deepEqual(Object.fromEntries(new URL(server.requests[1].url, server.baseUrl).searchParams), {
      limit: '100',
      starting_after: 'email_9',
      status: 'delivered',
      to: 'a+b@example.org',
      tags: 'x,y z',
      from_date: '2026-01-02T03:04:05.000Z',
      to_date: '2026-02-01',
      'metadata[userId]': 'user_123',
    });
  });

  test('refuses tags that the query could not tell apart, and dates that are none', async () => {
    const client = await clientOf([page([], false)]);
    for (const tags of [['a,b'], 'a', [7]]) assert.equal((await rejection(client.emails.list({ tags }))).param, 'tags');
    assert.equal((await rejection(client.emails.list({ to_date: new Date('soon') }))).param, 'to_date');
    assert.equal(server.requests.length, 0);
  });

  test('is walked to its end, page after page, with the filters kept', async () => {
    const client = await clientOf([page(['a', 'b'], true), page(['c', 'd'], true), page(['e'], false)]);
    const seen = [];
    for await (const email of client.emails.iterate({ limit: 2, status: 'sent' })) seen.push(email.id);
    assert.deepEqual(seen, ['a', 'b', 'c', 'd', 'e']);
    assert.deepEqual(server.requests.map((request) => request.url), [
      '/v1/emails?limit=2&status=sent',
      '/v1/emails?limit=2&status=sent&starting_after=b',
      '/v1/emails?limit=2&status=sent&starting_after=d',
    ]);
  });

  test('is read no further than the loop goes', async () => {
    const client = await clientOf([page(['a', 'b'], true)]);
    for await (const email of client.emails.iterate()) if (email.id === 'b') break;
    assert.equal(server.requests.length, 1);
  });

  test('that does not lead on ends the walk with an error instead of going round', async () => {
    const client = await clientOf([page(['a'], true), page(['a'], true)]);
    const walk = async (query) => {
      for await (const _ of client.emails.iterate(query));
    };
    assert.equal((await rejection(walk())).code, 'response_invalid');
    assert.equal(server.requests.length, 2);
    assert.equal((await rejection(walk({ ending_before: 'a' }))).param, 'ending_before');
    await server.close();
    server = await startStandIn(page([], true));
    const empty = new Sealwright(KEY, { baseUrl: server.baseUrl });
    assert.equal((await rejection(empty.emails.iterate().next())).code, 'response_invalid');
  });

  test('answer without its fields is an error', async () => {
    const client = await clientOf([{ body: { data: {} } }, { body: { data: [] } }]);
    assert.equal((await rejection(client.emails.list())).code, 'response_invalid');
    assert.equal((await rejection(client.emails.list())).code, 'response_invalid');
  });
});

describe('ids', () => {
  test('cannot point at another route', async () => {
    const client = await clientOf([SENT]);
    for (const id of ['', '.', '..', '../keys', 'a/b', 'a?b', 'a#b', 'a%2fb', ' ', 'x'.repeat(129), undefined, 7, ['a']]) {
      for (const call of [client.emails.get, client.webhooks.get, client.webhooks.delete]) {
        const owner = call === client.emails.get ? client.emails : client.webhooks;
        assert.equal((await rejection(call.call(owner, id))).param, 'id');
      }
    }
    assert.equal(server.requests.length, 0);
  });
});

describe('webhooks', () => {
  test('are created, read, listed and deleted', async () => {
    const webhook = { id: 'wh_1', object: 'webhook', url: 'https://hooks.example.org/', events: ['*'], status: 'active' };
    const client = await clientOf([
      { status: 201, body: { ...webhook, secret: 'whsec_x' } },
      { body: webhook },
      { body: { object: 'list', data: [webhook], hasMore: false, totalCount: 1 } },
      { body: { id: 'wh_1', object: 'webhook', deleted: true } },
    ]);
    const draft = { url: webhook.url, events: ['*'] };
    assert.equal((await client.webhooks.create(draft)).secret, 'whsec_x');
    assert.deepEqual(await client.webhooks.get('wh_1'), webhook);
    assert.equal((await client.webhooks.list({ status: 'active', limit: 1 }))[0].id, 'wh_1');
    assert.equal((await client.webhooks.delete('wh_1')).deleted, true);
    assert.deepEqual(
      server.requests.map((request) => `${request.method} ${request.url}`),
      ['POST /v1/webhooks', 'GET /v1/webhooks/wh_1', 'GET /v1/webhooks?status=active&limit=1', 'DELETE /v1/webhooks/wh_1'],
    );
    assert.deepEqual(server.requests[0].body, draft);
    assert.match(server.requests[0].headers['idempotency-key'], UUID);
    assert.ok(server.requests.slice(1).every((request) => !('idempotency-key' in request.headers)));
  });

  test('are walked to the end', async () => {
    const client = await clientOf([page(['wh_1'], true), page(['wh_2'], false)]);
    const seen = [];
    for await (const webhook of client.webhooks.iterate({ limit: 1 })) seen.push(webhook.id);
    assert.deepEqual(seen, ['wh_1', 'wh_2']);
  });
});

async function restart(...steps) {
  await server.close();
  server = await startStandIn(...steps);
  return server;
}
