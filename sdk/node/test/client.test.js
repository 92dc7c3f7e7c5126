'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const errors = require('sealwright');
const { KEY, clientOf, rejection } = require('./support/client.js');
const { answer, dropConnection, problem, startStandIn, staySilent } = require('./support/stand-in.js');

const { Sealwright } = errors;
const DRAFT = { from: 'Shop <hello@example.com>', to: 'ann@example.org', subject: 'Hi', text: 'Hello' };
const SENT = { body: { id: 'email_1', object: 'email', status: 'queued' } };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const NOW = { headers: { 'Retry-After': '0' } };

describe('a send', () => {
  test('is one authorized JSON request with an idempotency key of its own', async (t) => {
    const { client, server } = await clientOf(t, [SENT]);
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

  test('carries everything a draft can hold, bytes as base64, without changing the draft', async (t) => {
    const { client, server } = await clientOf(t, [SENT]);
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

  test('leaves judging the draft to the server', async (t) => {
    const { client, server } = await clientOf(t, [problem(400, 'invalid_from', { param: 'from' })]);
    const error = await rejection(client.emails.send({ html: '<p>no sender, no recipient</p>' }));
    assert.deepEqual(server.requests[0].body, { html: '<p>no sender, no recipient</p>' });
    assert.equal(error.param, 'from');
  });

  test('refuses attachment content that is neither bytes nor a string', async (t) => {
    const { client, server } = await clientOf(t, [SENT]);
    for (const content of [7, { type: 'Buffer', data: [1] }, new ArrayBuffer(1), null, Promise.resolve(Buffer.from('x'))]) {
      const error = await rejection(client.emails.send({ ...DRAFT, attachments: [{ filename: 'a', content }] }));
      assert.equal(error.param, 'attachments[0].content');
    }
    assert.equal(server.requests.length, 0);
  });

  test('refuses misspelt options and impossible idempotency keys before anything is sent', async (t) => {
    const { client, server } = await clientOf(t, [SENT]);
    for (const idempotencyKey of ['', 'a b', 'a/b', 'ü', 'x'.repeat(256), 'a\r\nX-Evil: 1', 7, null]) {
      assert.equal((await rejection(client.emails.send(DRAFT, { idempotencyKey }))).param, 'idempotencyKey');
    }
    assert.match((await rejection(client.emails.send(DRAFT, { idempotencykey: 'a' }))).message, /unknown option "idempotencykey"/);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: new AbortController() }))).param, 'signal');
    assert.equal((await rejection(client.emails.send({ ...DRAFT, metadata: { total: 7n } }))).code, 'argument_invalid');
    assert.equal((await rejection(client.emails.send({ ...DRAFT, metadata: { total: 0 / 0 } }))).param, 'total');
    assert.equal((await rejection(client.emails.send({ ...DRAFT, scheduledAt: new Date('soon') }))).param, 'scheduledAt');
    assert.equal((await rejection(client.emails.send())).param, 'draft');
    assert.equal((await rejection(client.emails.send([DRAFT]))).param, 'draft');
    assert.equal(server.requests.length, 0);
    await client.emails.send(DRAFT, { idempotencyKey: 'x'.repeat(255) });
    assert.equal(server.requests[0].headers['idempotency-key'], 'x'.repeat(255));
  });
});

describe('a retry', () => {
  test('after a lost answer repeats the same bytes under the same key', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, dropConnection, SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    assert.equal(server.requests.length, 3);
    assert.equal(new Set(server.requests.map((request) => request.headers['idempotency-key'])).size, 1);
    assert.equal(new Set(server.requests.map((request) => request.text)).size, 1);
  });

  test('keeps the key that the caller chose', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, problem(503, 'storage_unavailable', NOW), SENT]);
    await client.emails.send(DRAFT, { idempotencyKey: 'order-7' });
    assert.deepEqual(server.requests.map((request) => request.headers['idempotency-key']), ['order-7', 'order-7', 'order-7']);
  });

  test('waits as long as Retry-After says', async (t) => {
    const { client, server } = await clientOf(t, [problem(429, 'rate_limit_exceeded', { headers: { 'Retry-After': '1' } }), SENT]);
    await client.emails.send(DRAFT);
    const [first, second] = server.requests;
    assert.ok(second.at - first.at >= 990, `came back after ${second.at - first.at} ms`);
  });

  test('follows a body that arrived too slowly', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, problem(408, 'request_timeout', NOW), SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    assert.equal(server.requests.length, 3);
  });

  test('covers an answer cut off in the middle', async (t) => {
    const cutOff = (request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
      response.write('{"id":', () => request.socket.destroy());
    };
    const { client } = await clientOf(t, [cutOff, SENT]);
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
  });

  test('ends after maxRetries with the last error, which carries the key to go on with', async (t) => {
    const { client, server } = await clientOf(t, [problem(503, 'storage_unavailable', NOW)], { maxRetries: 2 });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(server.requests.length, 3);
    assert.equal(error.status, 503);
    assert.equal(error.idempotencyKey, server.requests[0].headers['idempotency-key']);
  });

  test('does not happen with maxRetries 0', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, SENT], { maxRetries: 0 });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.code, 'network_error');
    assert.equal(error.status, undefined);
    assert.match(error.idempotencyKey, UUID);
    assert.equal(server.requests.length, 1);
  });

  test('does not happen for 429 when the caller wants to see it', async (t) => {
    const { client, server } = await clientOf(t, [problem(429, 'rate_limit_exceeded', { headers: { 'Retry-After': '7' } })], { retryOnRateLimit: false });
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.retryAfter, 7);
    assert.equal(server.requests.length, 1);
  });

  test('does not wait an hour: a quota that far off is thrown at once', async (t) => {
    const { client, server } = await clientOf(t, [problem(429, 'rate_limit_exceeded', { retryAfter: 3600 })]);
    const error = await rejection(client.emails.send(DRAFT));
    assert.equal(error.retryAfter, 3600);
    assert.equal(server.requests.length, 1);
  });

  test('does not happen for refusals', async (t) => {
    const { client, server } = await clientOf(t, [problem(400, 'invalid_to'), problem(409, 'idempotency_key_conflict'), problem(500, 'internal_error')]);
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'invalid_to');
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'idempotency_key_conflict');
    assert.equal((await rejection(client.emails.send(DRAFT))).code, 'internal_error');
    assert.equal(server.requests.length, 3);
  });

  const ONCE = {
    'webhooks.create': (client) => client.webhooks.create({ url: 'https://hooks.example.org/', events: ['*'] }),
    'webhooks.delete': (client) => client.webhooks.delete('wh_1'),
    'apiKeys.create': (client) => client.apiKeys.create(),
    'apiKeys.rotate': (client) => client.apiKeys.rotate('key_1'),
    'apiKeys.delete': (client) => client.apiKeys.delete('key_1'),
  };
  for (const [name, call] of Object.entries(ONCE)) {
    test(`of ${name} happens when it was turned away, not when nobody knows whether it was done`, async (t) => {
      const unclear = [dropConnection, problem(503, 'outcome_unknown', NOW), problem(504, 'gateway', NOW)];
      const { client, server } = await clientOf(t, [problem(503, 'overloaded', NOW), problem(429, 'rate_limit_exceeded', NOW), SENT, ...unclear]);
      await call(client);
      assert.equal(server.requests.length, 3);
      for (const code of ['network_error', 'outcome_unknown', 'gateway']) assert.equal((await rejection(call(client))).code, code);
      assert.equal(server.requests.length, 6);
      assert.ok(server.requests.every((request) => !('idempotency-key' in request.headers)), 'the server knows the key for sends only');
    });
  }

  const REPEATED = {
    'emails.send': (client) => client.emails.send(DRAFT),
    'emails.get': (client) => client.emails.get('email_1'),
    'apiKeys.update': (client) => client.apiKeys.update('key_1', { name: 'a' }),
    'settings.update': (client) => client.settings.update({ securityContact: null }),
    'secrets.reportExposed': (client) => client.secrets.reportExposed({ token: 'le_x' }),
    'me': (client) => client.me(),
  };
  for (const [name, call] of Object.entries(REPEATED)) {
    test(`of ${name} happens also when nobody knows whether it was done`, async (t) => {
      const { client, server } = await clientOf(t, [dropConnection, problem(503, 'outcome_unknown', NOW), problem(502, 'gateway', NOW), SENT]);
      assert.deepEqual(await call(client), SENT.body);
      assert.equal(server.requests.length, 4);
    });
  }
});

describe('time and signals', () => {
  test('a silent server is a timeout, tried again', async (t) => {
    const { client } = await clientOf(t, [staySilent, SENT], { timeoutMs: 300 });
    assert.equal((await client.emails.send(DRAFT)).id, 'email_1');
    const { client: impatient } = await clientOf(t, [staySilent], { timeoutMs: 100, maxRetries: 0 });
    const error = await rejection(impatient.emails.send(DRAFT));
    assert.equal(error.code, 'timeout');
    assert.ok(error instanceof errors.ConnectionError);
    assert.match(error.message, /100 ms/);
  });

  test('an answer that never ends is a timeout too', async (t) => {
    const trickle = (_request, response) => response.writeHead(200).write('{"id":');
    const { client } = await clientOf(t, [trickle], { timeoutMs: 200, maxRetries: 0 });
    assert.equal((await rejection(client.emails.get('email_1'))).code, 'timeout');
  });

  test('a signal ends a call under way', async (t) => {
    const { client, server } = await clientOf(t, [staySilent]);
    const controller = new AbortController();
    const reason = new Error('shutting down');
    setTimeout(() => controller.abort(reason), 100);
    const error = await rejection(client.emails.send(DRAFT, { signal: controller.signal }));
    assert.equal(error.code, 'aborted');
    assert.equal(error.cause, reason);
    assert.equal(server.requests.length, 1);
  });

  test('a signal ends the wait between tries', async (t) => {
    const { client } = await clientOf(t, [problem(503, 'storage_unavailable', { headers: { 'Retry-After': '50' } })]);
    const controller = new AbortController();
    const started = performance.now();
    setTimeout(() => controller.abort(), 100);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: controller.signal }))).code, 'aborted');
    assert.ok(performance.now() - started < 10_000);
  });

  test('a signal that has fired already lets nothing out', async (t) => {
    const { client, server } = await clientOf(t, [SENT]);
    assert.equal((await rejection(client.emails.send(DRAFT, { signal: AbortSignal.abort() }))).code, 'aborted');
    assert.equal(server.requests.length, 0);
  });
});

describe('an error', () => {
  test('tells all that the server said', async (t) => {
    const { client } = await clientOf(t, [problem(400, 'invalid_parameter', { param: '/subject', docs: 'https://mail.example.com/docs' })]);
    const error = await rejection(client.emails.send(DRAFT));
    const { name, code, message, param, requestId, status, docs } = error;
    assert.deepEqual(
      { name, code, message, param, requestId, status, docs },
      {
        name: 'InvalidRequestError',
        code: 'invalid_parameter',
        message: 'about invalid_parameter',
        param: '/subject',
        requestId: 'req_body',
        status: 400,
        docs: 'https://mail.example.com/docs',
      },
    );
  });

  test('has a class for its status, whatever its code', async (t) => {
    const classes = {
      400: 'InvalidRequestError',
      401: 'UnauthorizedError',
      403: 'ForbiddenError',
      404: 'NotFoundError',
      409: 'ConflictError',
      410: 'InvalidRequestError',
      413: 'InvalidRequestError',
      429: 'RateLimitError',
      500: 'ServerError',
      503: 'ServerError',
    };
    const steps = Object.keys(classes).map((status) => problem(Number(status), 'a_code_of_next_year', NOW));
    const { client } = await clientOf(t, steps, { maxRetries: 0 });
    for (const [status, name] of Object.entries(classes)) {
      const error = await rejection(client.emails.get('email_1'));
      assert.equal(error.status, Number(status));
      assert.equal(error.code, 'a_code_of_next_year');
      assert.ok(error instanceof errors[name], `${status} gives ${error.name}`);
      assert.equal(error.name, name);
    }
  });

  test('takes the request id from the header when the body has none, as a proxy answers', async (t) => {
    const { client } = await clientOf(t, [{ status: 502, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad gateway</h1>' }], { maxRetries: 0 });
    const error = await rejection(client.emails.get('email_1'));
    assert.equal(error.code, 'response_invalid');
    assert.equal(error.status, 502);
    assert.equal(error.requestId, 'req_header');
    assert.ok(!error.message.includes('<h1>'));
  });

  test('is given for error objects of the wrong types instead of crashing on them', async (t) => {
    const bodies = [{ error: null }, { error: 'x' }, { error: { code: 7, message: {}, param: [], retryAfter: 'x' } }, 'null', '[]', '', '{'];
    const { client } = await clientOf(t, bodies.map((body) => ({ status: 400, body })));
    for (const _ of bodies) {
      const error = await rejection(client.emails.get('email_1'));
      assert.equal(error.code, 'response_invalid');
      assert.equal(error.status, 400);
      assert.equal(error.retryAfter, undefined);
    }
  });

  test('is given for a success that is no JSON object, as from a wrong baseUrl', async (t) => {
    const { client } = await clientOf(t, [{ body: '<html></html>' }, { body: '[]' }, { body: '' }]);
    for (let round = 0; round < 3; round += 1) {
      assert.match((await rejection(client.emails.get('email_1'))).message, /baseUrl/);
    }
  });

  test('is given for a redirect: key and mail do not follow it', async (t) => {
    const elsewhere = await startStandIn(SENT);
    try {
      const { client } = await clientOf(t, [(_request, response) => answer(response, { status: 307, headers: { Location: `${elsewhere.baseUrl}/v1/emails` } })]);
      assert.equal((await rejection(client.emails.send(DRAFT))).status, 307);
      assert.equal(elsewhere.requests.length, 0);
    } finally {
      await elsewhere.close();
    }
  });

  test('names the server that nobody listens at', async (t) => {
    const { client, server } = await clientOf(t, [SENT], { maxRetries: 0 });
    await server.close();
    const error = await rejection(client.emails.get('email_1'));
    assert.equal(error.code, 'network_error');
    assert.ok(error instanceof errors.ConnectionError);
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
