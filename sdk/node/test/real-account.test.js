'use strict';

// Against a running `sealwright dev`: keys, settings and reports, each by what the server then does and no longer does.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const { ConflictError, ForbiddenError, InvalidRequestError, NotFoundError, RateLimitError, Sealwright, UnauthorizedError } = require('sealwright');
const { rejection } = require('./support/client.js');
const { eventually } = require('./support/eventually.js');
const { withRealServer } = require('./support/ready-file.js');

withRealServer(({ apiUrl, liveKey, testKey }) => {
  const client = new Sealwright(liveKey, { baseUrl: apiUrl });
  const run = randomBytes(6).toString('hex');
  const draft = { from: 'hello@example.dev', to: 'ann@example.org', subject: `Account ${run}`, text: 'Hello' };
  const owning = (key, options) => new Sealwright(key, { baseUrl: apiUrl, ...options });

  /** What was found good a moment ago may be taken for good for a moment longer. */
  function refusedSoon(key) {
    return eventually('the refusal of a key', async () => {
      const error = await owning(key).me().catch((reason) => reason);
      return error instanceof UnauthorizedError ? error : undefined;
    });
  }

  test('a caller is told who it is', async () => {
    const me = await client.me();
    assert.equal(me.object, 'caller');
    assert.equal(me.mode, 'live');
    assert.match(me.organizationId, /^org_/);
    assert.match(me.keyId, /^key_/);
    assert.ok(me.permissions.includes('*'));
    assert.equal((await owning(testKey).me()).mode, 'test');
  });

  describe('a key at a real server', () => {
    test('may send and nothing else, unless more is asked for', async () => {
      const { key, ...shown } = await client.apiKeys.create({ name: `plain ${run}` });
      assert.match(key, /^le_/);
      assert.ok(key.endsWith(shown.lastFour));
      assert.deepEqual(shown.permissions, ['emails:send']);
      assert.deepEqual([shown.domainRestrictions, shown.ipRestrictions, shown.rateLimit, shown.expiresAt], [[], [], null, null]);
      const owner = owning(key);
      assert.match((await owner.emails.send(draft)).id, /^email_/);
      for (const call of [() => owner.emails.list(), () => owner.apiKeys.list(), () => owner.settings.get()]) {
        const error = await rejection(call());
        assert.ok(error instanceof ForbiddenError);
        assert.equal(error.code, 'forbidden');
      }
    });

    test('is shown once, read without itself, changed and deleted', async () => {
      const expiresAt = new Date(Date.now() + 86_400_000);
      const rateLimit = { requests: 100, period: 'minute' };
      const { key, id } = await client.apiKeys.create({ name: `one ${run}`, expiresAt, rateLimit, mode: 'test', prefix: 'mp' });
      assert.match(key, /^mp_test_/);
      const read = await client.apiKeys.get(id);
      assert.equal(read.key, undefined);
      assert.equal(Date.parse(read.expiresAt), expiresAt.getTime());
      assert.deepEqual(read.rateLimit, rateLimit);
      assert.equal(read.mode, 'test');
      const changed = await client.apiKeys.update(id, { name: `two ${run}`, expiresAt: null, rateLimit: null, permissions: ['emails:*'] });
      assert.deepEqual([changed.name, changed.expiresAt, changed.rateLimit, changed.permissions], [`two ${run}`, null, null, ['emails:*']]);
      assert.equal((await owning(key).me()).keyId, id);
      assert.equal((await client.apiKeys.delete(id)).deleted, true);
      assert.equal((await refusedSoon(key)).code, 'unauthorized');
      assert.ok((await rejection(client.apiKeys.get(id))) instanceof NotFoundError);
      assert.ok((await rejection(client.apiKeys.delete(id))) instanceof NotFoundError);
    });

    test('is found in the list, by walking and page by page in both directions', async () => {
      const made = [];
      for (const name of ['a', 'b', 'c']) made.unshift((await client.apiKeys.create({ name: `${name} ${run}` })).id);
      const walked = [];
      for await (const key of client.apiKeys.iterate({ limit: 2 })) walked.push(key.id);
      assert.deepEqual(walked.slice(0, 3), made);
      assert.equal(new Set(walked).size, walked.length);
      const first = await client.apiKeys.list({ limit: 2 });
      assert.equal(first.hasMore, true);
      const second = await first.nextPage();
      assert.deepEqual([...first, ...second].map((key) => key.id), walked.slice(0, 4));
      const back = await client.apiKeys.list({ limit: 1, ending_before: made[2] });
      assert.deepEqual(back.map((key) => key.id), [made[1]]);
      assert.deepEqual((await back.nextPage()).map((key) => key.id), [made[0]]);
      for (const id of made) await client.apiKeys.delete(id);
    });

    test('works on beside its successor for as long as was asked', async () => {
      const old = await client.apiKeys.create({ name: `rotated ${run}` });
      await owning(old.key).emails.send(draft);
      const next = await client.apiKeys.rotate(old.id, { overlap: 3600 });
      assert.equal(next.replaces, old.id);
      assert.equal(next.previous.id, old.id);
      assert.notEqual(next.previous.lastUsedAt, null);
      const left = (Date.parse(next.previous.expiresAt) - Date.now()) / 1000;
      assert.ok(left > 3500 && left <= 3601, `the old key works for ${left} s`);
      assert.equal((await client.apiKeys.get(old.id)).replacedBy, next.id);
      for (const key of [old.key, next.key]) assert.match((await owning(key).emails.send(draft)).id, /^email_/);
      const last = await client.apiKeys.rotate(next.id, { overlap: 0, name: `last ${run}` });
      assert.equal(last.name, `last ${run}`);
      await refusedSoon(next.key);
      assert.match((await owning(last.key).emails.send(draft)).id, /^email_/);
    });

    test('never makes one that may do more than itself', async () => {
      const { key } = await client.apiKeys.create({ name: `maker ${run}`, permissions: ['api-keys:create', 'api-keys:delete'] });
      const maker = owning(key);
      for (const permissions of [['emails:send'], ['api-keys:*']]) {
        assert.equal((await rejection(maker.apiKeys.create({ permissions }))).code, 'forbidden_escalation');
      }
      assert.deepEqual((await maker.apiKeys.create({ permissions: ['api-keys:delete'] })).permissions, ['api-keys:delete']);
      const self = await rejection(maker.apiKeys.delete((await maker.me()).keyId));
      assert.ok(self instanceof ConflictError);
      assert.equal(self.code, 'cannot_delete_self');
    });

    test('for everything has to be meant', async () => {
      const error = await rejection(client.apiKeys.create({ permissions: ['*'] }));
      assert.ok(error instanceof InvalidRequestError);
      assert.deepEqual([error.code, error.param], ['confirmation_required', 'permissions']);
      const { id, permissions } = await client.apiKeys.create({ name: `all ${run}`, permissions: ['*'], allPermissions: true });
      assert.deepEqual(permissions, ['*']);
      await client.apiKeys.delete(id);
    });

    test('opens the door from its networks and for its domains only', async () => {
      const elsewhere = await client.apiKeys.create({ name: `elsewhere ${run}`, ipRestrictions: ['192.0.2.0/24', '2001:db8::/32'] });
      assert.equal((await rejection(owning(elsewhere.key).emails.send(draft))).code, 'ip_not_allowed');
      await client.apiKeys.update(elsewhere.id, { ipRestrictions: ['127.0.0.1', '::1'] });
      await eventually('the new networks of a key', () => owning(elsewhere.key).emails.send(draft).catch(() => undefined));
      const other = await client.apiKeys.create({ name: `other domain ${run}`, domainRestrictions: ['example.org'] });
      const error = await rejection(owning(other.key).emails.send(draft));
      assert.ok(error instanceof ForbiddenError);
      assert.equal(error.code, 'domain_not_allowed');
    });

    test('has a pace, which a client keeps by waiting or is told of', async () => {
      const { key } = await client.apiKeys.create({ name: `slow ${run}`, rateLimit: { requests: 2, period: 'second' } });
      const hasty = owning(key, { retryOnRateLimit: false });
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => hasty.me()));
      const refused = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
      assert.ok(refused.length >= 4, `${refused.length} of 8 were refused`);
      for (const error of refused) {
        assert.ok(error instanceof RateLimitError);
        assert.equal(error.code, 'rate_limit_exceeded');
        assert.ok(error.retryAfter >= 1);
      }
      assert.equal((await owning(key, { maxRetries: 10 }).me()).mode, 'live');
    });
  });

  test('the settings of a real server are read, changed and refused', async () => {
    const before = await client.settings.get();
    assert.equal(before.object, 'settings');
    const change = { securityContact: `security-${run}@example.dev`, browserOrigins: ['https://app.example.dev'], apiKeyMaxAgeDays: 90 };
    try {
      const changed = await client.settings.update(change);
      assert.deepEqual(changed, { ...before, ...change });
      assert.deepEqual(await client.settings.get(), changed);
      const error = await rejection(client.settings.update({ browserOrigins: ['http://app.example.dev'] }));
      assert.equal(error.code, 'invalid_parameter');
      assert.match(error.param, /browserOrigins/);
    } finally {
      const { object, ...settings } = before;
      assert.deepEqual(await client.settings.update(settings), before);
    }
  });

  test('a key that was found in the open is marked, and ends as the organization wants it', async () => {
    const before = await client.settings.get();
    try {
      await client.settings.update({ keyExposurePolicy: 'revoke' });
      const { id, key } = await client.apiKeys.create({ name: `lost ${run}` });
      const unknown = { token: `le_${'0'.repeat(36)}` };
      const report = await client.secrets.reportExposed([{ token: key, url: 'https://git.example.org/commit/7', source: 'commit' }, unknown]);
      assert.deepEqual(report, { object: 'exposure_report', received: 2 });
      await refusedSoon(key);
      assert.notEqual((await client.apiKeys.get(id)).exposedAt, null);
    } finally {
      await client.settings.update({ keyExposurePolicy: before.keyExposurePolicy });
    }
  });
});
