'use strict';

// Against a running `sealwright dev`. Names end in `.invalid`, which no server of the world has to be asked about (RFC 6761).
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const { ConflictError, ForbiddenError, InvalidRequestError, NotFoundError, Sealwright } = require('sealwright');
const { rejection } = require('./support/client.js');
const { withRealServer } = require('./support/ready-file.js');

withRealServer(({ apiUrl, liveKey, testKey }) => {
  const client = new Sealwright(liveKey, { baseUrl: apiUrl });
  const name = `shop-${randomBytes(6).toString('hex')}.invalid`;

  describe('a domain at a real server', () => {
    let domain;

    test('is added with all that is to be published', async () => {
      domain = await client.domains.create({ name: name.toUpperCase(), type: 'sending' });
      assert.match(domain.id, /^dom_/);
      assert.deepEqual([domain.object, domain.name, domain.status, domain.dkimSelector], ['domain', name, 'pending', 'sw1']);
      const hosts = domain.dnsRecords.map(({ type, host, purpose }) => `${type} ${host} ${purpose}`);
      assert.deepEqual(hosts.slice(0, 5), [
        ...['sw1', 'sw2', 'sw3'].map((selector) => `TXT ${selector}._domainkey.${name} dkim`),
        `TXT ${name} spf`,
        `TXT _dmarc.${name} dmarc`,
      ]);
      assert.ok(domain.dnsRecords.every(({ status, verified }) => status === 'pending' && !verified));
      assert.deepEqual(domain.dnsRecords.filter(({ required }) => required).map(({ purpose }) => purpose), ['dkim', 'dkim', 'dkim']);
      assert.equal((await rejection(client.domains.create({ name }))).code, 'already_exists');
      assert.equal((await rejection(client.domains.create({ name: 'pаypal.invalid' }))).param, 'name');
    });

    test('is read, and found among those of its status', async () => {
      assert.deepEqual(await client.domains.get(domain.id), domain);
      const newest = await client.domains.list({ limit: 1 });
      assert.deepEqual([newest[0].id, newest.hasMore], [domain.id, true]);
      const found = [];
      for await (const each of client.domains.iterate({ limit: 1, status: 'verified' })) found.push(each.name);
      assert.ok(found.includes('example.dev') && !found.includes(name), found.join());
    });

    test('may ask for a second signature', async () => {
      const changed = await client.domains.update(domain.id, { ed25519: true });
      assert.equal(changed.ed25519, true);
      const selectors = changed.dnsRecords.filter(({ purpose }) => purpose === 'dkim').map(({ host }) => host.split('.', 1)[0]);
      assert.deepEqual(selectors, ['sw1', 'sw2', 'sw3', 'sw1e', 'sw2e', 'sw3e']);
      assert.equal((await client.domains.update(domain.id, { ed25519: false })).ed25519, false);
    });

    test('has a zone file with every record in it', async () => {
      const file = await client.domains.dns(domain.id);
      const lines = file.split('\n').filter((line) => line.includes('\tIN\t'));
      const { dnsRecords } = await client.domains.get(domain.id);
      assert.equal(lines.length, dnsRecords.length);
      for (const [at, { type, host, value, priority }] of dnsRecords.entries()) {
        const [owner, , kind, data] = lines[at].split('\t');
        assert.deepEqual([owner, kind], [`${host}.`, type]);
        if (type === 'TXT') assert.equal(data.match(/"[^"]{0,255}"/g).map((text) => text.slice(1, -1)).join(''), value);
        if (type === 'MX') assert.equal(data, `${priority} ${value}.`);
      }
    });

    test('is not verified, nor its key replaced, while the DNS shows nothing of it', async () => {
      const seen = await client.domains.verify(domain.id);
      assert.deepEqual([seen.verified, seen.status], [false, 'pending']);
      assert.ok(seen.checkedAt);
      assert.deepEqual(seen.missingRecords.map(({ host, type }) => [host, type]), domain.dnsRecords.map(({ host, type }) => [host, type]));
      assert.ok(seen.missingRecords.every(({ advice }) => advice), 'a record without advice');
      const error = await rejection(client.domains.rotateDkim(domain.id));
      assert.ok(error instanceof ConflictError);
      assert.equal(error.code, 'record_unpublished');
    });

    test('is for test keys to see, not to change', async () => {
      const tester = new Sealwright(testKey, { baseUrl: apiUrl });
      assert.equal((await tester.domains.get(domain.id)).id, domain.id);
      const { domains } = tester;
      for (const call of [() => domains.create({ name: `x.${name}` }), () => domains.verify(domain.id), () => domains.delete(domain.id)]) {
        assert.ok((await rejection(call())) instanceof ForbiddenError);
      }
    });

    test('is taken away, and nothing is sent from it', async () => {
      assert.deepEqual(await client.domains.delete(domain.id), { id: domain.id, object: 'domain', deleted: true });
      const { domains } = client;
      for (const call of [() => domains.get(domain.id), () => domains.dns(domain.id), () => domains.delete(domain.id)]) {
        assert.ok((await rejection(call())) instanceof NotFoundError);
      }
      const error = await rejection(client.emails.send({ from: `a@${name}`, to: 'ann@example.org', subject: 'Hi', text: 'Hi' }));
      assert.ok(error instanceof InvalidRequestError);
      assert.equal(error.code, 'domain_unverified');
    });
  });
});
