'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { NotFoundError } = require('sealwright');
const { KEY, clientOf, rejection } = require('./support/client.js');
const { dropConnection, problem } = require('./support/stand-in.js');

/** What went over the wire, as `METHOD path` and body. */
function wire({ requests }) {
  return requests.map(({ method, url, body }) => (body === undefined ? [`${method} ${url}`] : [`${method} ${url}`, body]));
}

describe('ids', () => {
  test('cannot point at another route', async (t) => {
    const { client, server } = await clientOf(t, [{ body: {} }]);
    const calls = {
      emails: ['get', 'update', 'cancel', 'events', 'content', 'attempts'],
      domains: ['get', 'update', 'verify', 'delete', 'rotateDkim', 'dns', 'getReputation'],
      suppressions: ['get', 'delete'],
      templates: ['get', 'update', 'delete', 'render'],
      relays: ['get', 'update', 'test', 'delete'],
      webhooks: ['get', 'update', 'delete', 'rotateSecret', 'test', 'listDeliveries', 'getDelivery', 'retryDelivery', 'replay'],
      apiKeys: ['get', 'update', 'delete', 'rotate'],
    };
    for (const id of ['', '.', '..', '../keys', 'a/b', 'a?b', 'a#b', 'a%2fb', ' ', 'x'.repeat(129), undefined, 7, ['a']]) {
      for (const [resource, names] of Object.entries(calls)) {
        for (const name of names) assert.equal((await rejection(client[resource][name](id, {}))).param, 'id');
      }
    }
    assert.equal(server.requests.length, 0);
  });
});

test('the attempts of a message are read as a list', async (t) => {
  const attempt = { id: 'att_1', object: 'attempt', number: 1, state: 'finished', startedAt: '2026-11-22T03:14:01.020Z' };
  const { client, server } = await clientOf(t, [{ body: { object: 'list', data: [attempt], hasMore: false, totalCount: 1 } }]);
  const attempts = await client.emails.attempts('email_1');
  assert.deepEqual([...attempts], [attempt]);
  assert.equal(await attempts.nextPage(), undefined);
  assert.deepEqual(wire(server), [['GET /v1/emails/email_1/attempts']]);
});

test('relays are added, read, listed, changed, tried and deleted', async (t) => {
  const relay = { id: 'rel_1', object: 'relay', name: 'Reserve', provider: 'resend', priority: 10, weight: 1, domains: [], enabled: true };
  const { client, server } = await clientOf(t, [
    { status: 201, body: relay },
    { body: relay },
    { body: { object: 'list', data: [relay], hasMore: true, totalCount: 2 } },
    { body: { object: 'list', data: [{ ...relay, id: 'rel_0' }], hasMore: false, totalCount: 2 } },
    { body: { ...relay, weight: 3 } },
    { body: { id: 'rel_1', object: 'relay_test', ok: true, message: 'the provider takes the credentials' } },
    { body: { id: 'rel_1', object: 'relay', deleted: true } },
  ]);
  const draft = { name: 'Reserve', provider: 'resend', credentials: { apiKey: 're_1' } };
  assert.deepEqual(await client.relays.create(draft), relay);
  assert.deepEqual(await client.relays.get('rel_1'), relay);
  const walked = [];
  for await (const { id } of client.relays.iterate({ limit: 1 })) walked.push(id);
  assert.deepEqual(walked, ['rel_1', 'rel_0']);
  assert.equal((await client.relays.update('rel_1', { weight: 3 })).weight, 3);
  assert.equal((await client.relays.test('rel_1')).ok, true);
  assert.equal((await client.relays.delete('rel_1')).deleted, true);
  assert.deepEqual(wire(server), [
    ['POST /v1/relays', draft],
    ['GET /v1/relays/rel_1'],
    ['GET /v1/relays?limit=1'],
    ['GET /v1/relays?limit=1&starting_after=rel_1'],
    ['PATCH /v1/relays/rel_1', { weight: 3 }],
    ['POST /v1/relays/rel_1/test'],
    ['DELETE /v1/relays/rel_1'],
  ]);
});

describe('domains', () => {
  const domain = { id: 'dom_1', object: 'domain', name: 'example.com', status: 'pending', dnsRecords: [] };

  test('are added, read, listed, changed, verified and deleted', async (t) => {
    const { client, server } = await clientOf(t, [
      { status: 201, body: domain },
      { body: domain },
      { body: { object: 'list', data: [domain], hasMore: true, totalCount: 2 } },
      { body: { object: 'list', data: [{ ...domain, id: 'dom_0' }], hasMore: false, totalCount: 2 } },
      { body: { ...domain, ed25519: true } },
      { body: { ...domain, verified: false, missingRecords: [{ host: '_dmarc.example.com' }] } },
      { body: { ...domain, dkimSelector: 'sw2' } },
      { body: { id: 'dom_1', object: 'domain', deleted: true } },
    ]);
    assert.deepEqual(await client.domains.create({ name: 'example.com', type: 'sending' }), domain);
    assert.deepEqual(await client.domains.get('dom_1'), domain);
    const walked = [];
    for await (const { id } of client.domains.iterate({ limit: 1, status: 'pending' })) walked.push(id);
    assert.deepEqual(walked, ['dom_1', 'dom_0']);
    assert.equal((await client.domains.update('dom_1', { ed25519: true })).ed25519, true);
    assert.equal((await client.domains.verify('dom_1')).missingRecords[0].host, '_dmarc.example.com');
    assert.equal((await client.domains.rotateDkim('dom_1')).dkimSelector, 'sw2');
    assert.equal((await client.domains.delete('dom_1')).deleted, true);
    assert.deepEqual(wire(server), [
      ['POST /v1/domains', { name: 'example.com', type: 'sending' }],
      ['GET /v1/domains/dom_1'],
      ['GET /v1/domains?limit=1&status=pending'],
      ['GET /v1/domains?limit=1&status=pending&starting_after=dom_1'],
      ['PATCH /v1/domains/dom_1', { ed25519: true }],
      ['POST /v1/domains/dom_1/verify'],
      ['POST /v1/domains/dom_1/rotate-dkim'],
      ['DELETE /v1/domains/dom_1'],
    ]);
  });

  test('give their records as a text, and nothing else in its place', async (t) => {
    const text = '; What example.com needs for sending.\n$TTL 3600\n';
    const { client, server } = await clientOf(t, [
      { headers: { 'Content-Type': 'text/dns' }, body: text },
      { headers: { 'Content-Type': 'Text/DNS; charset=utf-8' }, body: text },
      { headers: { 'Content-Type': 'text/html' }, body: '<h1>Welcome</h1>' },
      problem(404, 'not_found'),
    ]);
    assert.equal(await client.domains.dns('dom_1'), text);
    assert.equal(await client.domains.dns('dom_1'), text);
    const page = await rejection(client.domains.dns('dom_1'));
    assert.deepEqual([page.code, page.status, page.requestId], ['response_invalid', 200, 'req_header']);
    assert.ok((await rejection(client.domains.dns('dom_1'))) instanceof NotFoundError);
    assert.deepEqual(wire(server)[0], ['GET /v1/domains/dom_1/dns']);
    assert.equal(server.requests[0].headers.accept, 'text/dns, application/json');
  });

  test('take no second turn of keys for a lost answer, but look a second time', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, dropConnection, { body: { ...domain, verified: true } }]);
    assert.equal((await rejection(client.domains.rotateDkim('dom_1'))).code, 'network_error');
    assert.equal((await client.domains.verify('dom_1')).verified, true);
    assert.deepEqual(wire(server), [['POST /v1/domains/dom_1/rotate-dkim'], ['POST /v1/domains/dom_1/verify'], ['POST /v1/domains/dom_1/verify']]);
  });
});

test('webhooks are created, read, listed and deleted', async (t) => {
  const webhook = { id: 'wh_1', object: 'webhook', url: 'https://hooks.example.org/', events: ['*'], status: 'active' };
  const { client, server } = await clientOf(t, [
    { status: 201, body: { ...webhook, secret: 'whsec_x' } },
    { body: webhook },
    { body: { object: 'list', data: [webhook], hasMore: false, totalCount: 1 } },
    { body: { id: 'wh_1', object: 'webhook', deleted: true } },
  ]);
  const draft = { url: webhook.url, events: ['*'] };
  assert.equal((await client.webhooks.create(draft)).secret, 'whsec_x');
  assert.deepEqual(await client.webhooks.get('wh_1'), webhook);
  assert.equal((await client.webhooks.list({ limit: 1 }))[0].id, 'wh_1');
  assert.equal((await client.webhooks.delete('wh_1')).deleted, true);
  assert.deepEqual(wire(server), [
    ['POST /v1/webhooks', draft],
    ['GET /v1/webhooks/wh_1'],
    ['GET /v1/webhooks?limit=1'],
    ['DELETE /v1/webhooks/wh_1'],
  ]);
});

test('webhooks are changed, rotated, tried, replayed and looked into', async (t) => {
  const sent = { object: 'webhook_replay', webhookId: 'wh_1', deliveryId: 'dlv_1' };
  const delivery = { id: 'dlv_1', object: 'webhook_delivery', status: 'failed', log: [] };
  const { client, server } = await clientOf(t, [
    { body: { id: 'wh_1', object: 'webhook', status: 'active' } },
    { body: { id: 'wh_1', object: 'webhook_secret', secret: 'whsec_y' } },
    { body: sent },
    { body: { object: 'list', data: [delivery], hasMore: false, totalCount: 1 } },
    { body: delivery },
    { body: sent },
    { body: { object: 'webhook_replay', webhookId: 'wh_1' } },
  ]);
  const { webhooks } = client;
  assert.equal((await webhooks.update('wh_1', { status: 'active' })).status, 'active');
  assert.equal((await webhooks.rotateSecret('wh_1', { compromised: true })).secret, 'whsec_y');
  assert.equal((await webhooks.test('wh_1', { eventType: 'email.sent' })).deliveryId, 'dlv_1');
  assert.equal((await webhooks.listDeliveries('wh_1', { status: 'failed', limit: 5 }))[0].id, 'dlv_1');
  assert.deepEqual(await webhooks.getDelivery('wh_1', 'dlv_1'), delivery);
  assert.equal((await webhooks.retryDelivery('wh_1', 'dlv_1')).deliveryId, 'dlv_1');
  assert.equal((await webhooks.replay('wh_1', { since: '2026-11-25T00:00:00Z' })).webhookId, 'wh_1');
  assert.equal((await rejection(webhooks.getDelivery('wh_1', '../x'))).param, 'id');
  assert.deepEqual(wire(server), [
    ['PATCH /v1/webhooks/wh_1', { status: 'active' }],
    ['POST /v1/webhooks/wh_1/rotate-secret', { compromised: true }],
    ['POST /v1/webhooks/wh_1/test', { eventType: 'email.sent' }],
    ['GET /v1/webhooks/wh_1/deliveries?status=failed&limit=5'],
    ['GET /v1/webhooks/wh_1/deliveries/dlv_1'],
    ['POST /v1/webhooks/wh_1/deliveries/dlv_1/retry'],
    ['POST /v1/webhooks/wh_1/replay', { since: '2026-11-25T00:00:00Z' }],
  ]);
});

describe('API keys', () => {
  const key = {
    id: 'key_1',
    object: 'api_key',
    name: 'Shop',
    keyPrefix: 'le_',
    lastFour: 'x9Zq',
    mode: 'live',
    permissions: ['emails:send'],
    domainRestrictions: [],
    ipRestrictions: ['192.0.2.0/24', '2001:db8::/32'],
    rateLimit: { requests: 5, period: 'second' },
    expiresAt: '2030-01-02T03:04:05.006Z',
    replaces: null,
    createdAt: '2026-11-22T03:14:01.020Z',
  };

  test('are created with what was asked for, and with nothing when nothing was', async (t) => {
    const created = { ...key, key: 'le_shown-once' };
    const { client, server } = await clientOf(t, [{ status: 201, body: created }]);
    const { name, permissions, ipRestrictions, rateLimit } = key;
    const draft = { name, permissions, ipRestrictions, rateLimit, expiresAt: new Date(key.expiresAt), mode: 'test', prefix: 'mp' };
    assert.deepEqual(await client.apiKeys.create(draft), created);
    await client.apiKeys.create();
    await client.apiKeys.create({ permissions: ['*'], allPermissions: true, expiresAt: null, rateLimit: null });
    assert.deepEqual(wire(server), [
      ['POST /v1/api-keys', { ...draft, expiresAt: key.expiresAt }],
      ['POST /v1/api-keys', {}],
      ['POST /v1/api-keys', { permissions: ['*'], allPermissions: true, expiresAt: null, rateLimit: null }],
    ]);
  });

  test('never get a wider limit because a date or number was none', async (t) => {
    const { client, server } = await clientOf(t, [{ status: 201, body: key }]);
    assert.equal((await rejection(client.apiKeys.create({ expiresAt: new Date('soon') }))).param, 'expiresAt');
    assert.equal((await rejection(client.apiKeys.update('key_1', { expiresAt: new Date(NaN) }))).param, 'expiresAt');
    assert.equal((await rejection(client.apiKeys.create({ rateLimit: { requests: Infinity, period: 'hour' } }))).param, 'requests');
    assert.equal((await rejection(client.settings.update({ apiKeyMaxAgeDays: NaN }))).param, 'apiKeyMaxAgeDays');
    assert.equal(server.requests.length, 0);
  });

  test('are read, listed, changed, rotated and deleted', async (t) => {
    const rotated = { ...key, id: 'key_2', key: 'le_new', replaces: 'key_1', previous: { id: 'key_1', expiresAt: '2026-11-23T03:14:01.020Z', lastUsedAt: null } };
    const { client, server } = await clientOf(t, [
      { body: key },
      { body: { object: 'list', data: [key], hasMore: false, totalCount: 1 } },
      { body: { ...key, ipRestrictions: [] } },
      { status: 201, body: rotated },
      { status: 201, body: rotated },
      { body: { id: 'key_1', object: 'api_key', deleted: true } },
    ]);
    assert.deepEqual(await client.apiKeys.get('key_1'), key);
    assert.deepEqual([...(await client.apiKeys.list({ limit: 5 }))], [key]);
    assert.deepEqual((await client.apiKeys.update('key_1', { ipRestrictions: [], expiresAt: null })).ipRestrictions, []);
    assert.deepEqual(await client.apiKeys.rotate('key_1'), rotated);
    assert.equal((await client.apiKeys.rotate('key_1', { overlap: 0, name: 'Shop 2' })).previous.id, 'key_1');
    assert.equal((await client.apiKeys.delete('key_1')).deleted, true);
    assert.deepEqual(wire(server), [
      ['GET /v1/api-keys/key_1'],
      ['GET /v1/api-keys?limit=5'],
      ['PATCH /v1/api-keys/key_1', { ipRestrictions: [], expiresAt: null }],
      ['POST /v1/api-keys/key_1/rotate', {}],
      ['POST /v1/api-keys/key_1/rotate', { overlap: 0, name: 'Shop 2' }],
      ['DELETE /v1/api-keys/key_1'],
    ]);
  });

  test('that are not there are a NotFoundError', async (t) => {
    const { client } = await clientOf(t, [problem(404, 'not_found')]);
    assert.ok((await rejection(client.apiKeys.delete('key_1'))) instanceof NotFoundError);
  });
});

test('usage is counted for the days that are asked for', async (t) => {
  const usage = { object: 'usage', data: [] };
  const { client, server } = await clientOf(t, [{ body: usage }, { body: usage }]);
  assert.deepEqual(await client.usage.get(), usage);
  await client.usage.get({ fromDate: '2026-01-01', toDate: '2026-01-31' });
  assert.deepEqual(server.requests.map(({ url }) => url), ['/v1/usage', '/v1/usage?fromDate=2026-01-01&toDate=2026-01-31']);
});

test('settings are read and changed', async (t) => {
  const settings = { object: 'settings', securityContact: null, keyExposurePolicy: 'expire_24h', apiKeyMaxAgeDays: null, browserOrigins: [] };
  const { client, server } = await clientOf(t, [{ body: settings }, { body: { ...settings, keyExposurePolicy: 'revoke' } }]);
  assert.deepEqual(await client.settings.get(), settings);
  assert.equal((await client.settings.update({ keyExposurePolicy: 'revoke', apiKeyMaxAgeDays: null })).keyExposurePolicy, 'revoke');
  assert.deepEqual(wire(server), [
    ['GET /v1/settings'],
    ['PATCH /v1/settings', { keyExposurePolicy: 'revoke', apiKeyMaxAgeDays: null }],
  ]);
});

test('found secrets are reported, one or many, without the key of the one who found them', async (t) => {
  const { client, server } = await clientOf(t, [{ status: 202, body: { object: 'exposure_report', received: 1 } }]);
  const found = { token: 'le_found', url: 'https://git.example.org/commit/7', source: 'commit' };
  assert.equal((await client.secrets.reportExposed(found)).received, 1);
  await client.secrets.reportExposed([found, { token: 'mp_found' }]);
  assert.deepEqual(wire(server), [
    ['POST /v1/secrets/exposed', { secrets: [found] }],
    ['POST /v1/secrets/exposed', { secrets: [found, { token: 'mp_found' }] }],
  ]);
  assert.ok(server.requests.every(({ headers }) => headers.authorization === undefined));
  assert.equal((await rejection(client.secrets.reportExposed('le_found'))).param, 'secret');
});

test('a client knows who it is', async (t) => {
  const caller = { object: 'caller', organizationId: 'org_1', keyId: 'key_1', mode: 'live', permissions: ['*'], plan: 'pro' };
  const { client, server } = await clientOf(t, [{ body: caller }]);
  assert.deepEqual(await client.me(), caller);
  assert.deepEqual(wire(server), [['GET /v1/me']]);
  assert.equal(server.requests[0].headers.authorization, `Bearer ${KEY}`);
});

test('every call refuses misspelt options before anything is sent', async (t) => {
  const { client, server } = await clientOf(t, [{ body: {} }]);
  const misspelt = { singal: AbortSignal.abort() };
  const calls = [
    client.me(misspelt),
    client.emails.sendBatch([], misspelt),
    client.emails.update('email_1', { scheduledAt: new Date() }, misspelt),
    client.emails.cancel('email_1', misspelt),
    client.emails.events('email_1', misspelt),
    client.emails.content('email_1', misspelt),
    client.emails.attempts('email_1', misspelt),
    client.domains.create({ name: 'example.com' }, { idempotencyKey: 'a' }),
    client.domains.get('dom_1', misspelt),
    client.domains.list({}, misspelt),
    client.domains.update('dom_1', { ed25519: true }, misspelt),
    client.domains.verify('dom_1', misspelt),
    client.domains.delete('dom_1', misspelt),
    client.domains.rotateDkim('dom_1', misspelt),
    client.domains.dns('dom_1', misspelt),
    client.domains.getReputation('dom_1', misspelt),
    client.suppressions.create({ email: 'ann@example.org' }, { idempotencyKey: 'a' }),
    client.suppressions.get('sup_1', misspelt),
    client.suppressions.check('ann@example.org', misspelt),
    client.suppressions.list({}, misspelt),
    client.suppressions.delete('ann@example.org', misspelt),
    client.suppressions.import([], misspelt),
    client.suppressions.importCsv('email\n', misspelt),
    client.suppressions.export({}, misspelt),
    client.suppressions.export({ format: 'csv' }, misspelt),
    client.templates.create({ name: 'a', text: 'b' }, { idempotencyKey: 'a' }),
    client.templates.get('tpl_1', misspelt),
    client.templates.list({}, misspelt),
    client.templates.update('tpl_1', {}, misspelt),
    client.templates.delete('tpl_1', misspelt),
    client.templates.render('tpl_1', {}, misspelt),
    client.webhooks.create({ url: 'https://hooks.example.org/', events: [] }, { idempotencyKey: 'a' }),
    client.apiKeys.create({}, { idempotencyKey: 'a' }),
    client.apiKeys.get('key_1', misspelt),
    client.apiKeys.list({}, misspelt),
    client.apiKeys.update('key_1', {}, misspelt),
    client.apiKeys.delete('key_1', misspelt),
    client.apiKeys.rotate('key_1', {}, misspelt),
    client.settings.get(misspelt),
    client.usage.get({}, misspelt),
    client.settings.update({}, misspelt),
    client.secrets.reportExposed([], misspelt),
  ];
  for (const call of calls) assert.match((await rejection(call)).message, /unknown option/);
  assert.equal(server.requests.length, 0);
});
