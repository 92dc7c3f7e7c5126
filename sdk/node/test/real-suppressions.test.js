'use strict';

// Against a running `sealwright dev`: suppressions, by what the server then sends and does not send.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const { InvalidRequestError, NotFoundError, Sealwright } = require('sealwright');
const { rejection } = require('./support/client.js');
const { withRealServer } = require('./support/ready-file.js');

withRealServer(({ apiUrl, liveKey, testKey }) => {
  const client = new Sealwright(liveKey, { baseUrl: apiUrl });
  const run = randomBytes(6).toString('hex');
  const ann = `ann+${run}@example.org`;

  function send(to) {
    return client.emails.send({ from: 'hello@example.dev', to, subject: `Suppressed ${run}`, text: 'Hello' });
  }

  describe('an address at a real server', () => {
    let made;

    test('is suppressed once, with the first words', async () => {
      const loud = ann.replace('ann', 'ANN');
      made = await client.suppressions.create({ email: loud, type: 'unsubscribes', reason: 'asked by telephone' });
      assert.match(made.id, /^sup_/);
      assert.deepEqual([made.object, made.email, made.type, made.reason], ['suppression', loud, 'unsubscribes', 'asked by telephone']);
      assert.deepEqual(await client.suppressions.create({ email: ann }), made);
      assert.deepEqual(await client.suppressions.get(made.id), made);
      assert.equal((await rejection(client.suppressions.create({ email: 'nobody' }))).param, 'email');
    });

    test('is known by its name, to keys of its mode', async () => {
      const { id, type, reason } = made;
      assert.deepEqual(await client.suppressions.check(ann), { object: 'suppression_check', email: ann, suppressed: true, id, type, reason });
      const tester = new Sealwright(testKey, { baseUrl: apiUrl });
      assert.deepEqual(await tester.suppressions.check(ann), { object: 'suppression_check', email: ann, suppressed: false });
      assert.ok((await rejection(client.suppressions.check(''))) instanceof InvalidRequestError);
    });

    test('is not written to, and is told of', async () => {
      const { id, status, suppressionReason } = await send(ann);
      assert.deepEqual([status, suppressionReason], ['suppressed', 'unsubscribe']);
      const { events } = await client.emails.get(id);
      assert.ok(events.some(({ type, data }) => type === 'email.suppressed' && data.to === ann), JSON.stringify(events));
    });

    test('is written to again once the suppression is gone', async () => {
      assert.deepEqual(await client.suppressions.delete(ann), { id: made.id, object: 'suppression', deleted: true });
      assert.equal((await send(ann)).status, 'queued');
      const { suppressions } = client;
      for (const call of [() => suppressions.get(made.id), () => suppressions.delete(made.id), () => suppressions.delete(ann)]) {
        assert.ok((await rejection(call())) instanceof NotFoundError);
      }
    });
  });

  test('a list is brought along, found, taken away as a file and brought back', async () => {
    const names = ['c', 'b', 'a'].map((name) => `${name}.${run}@example.org`);
    const imported = await client.suppressions.import([...names.map((email) => ({ email, type: 'complaints', reason: `=${run}, "so"` })), { email: 'nobody' }]);
    assert.deepEqual([imported.created, imported.existing, imported.refused.map(({ index, param }) => [index, param])], [3, 0, [[3, 'email']]]);
    const found = [];
    for await (const each of client.suppressions.iterate({ limit: 1, type: 'complaints' })) if (names.includes(each.email)) found.push(each);
    assert.deepEqual(found.map(({ email }) => email).sort(), [...names].sort());
    const all = await client.suppressions.export({ type: 'complaints' });
    assert.deepEqual(all.filter(({ email }) => names.includes(email)), found);
    const file = await client.suppressions.export({ format: 'csv', type: 'complaints' });
    assert.equal(file.split('\r\n', 1)[0], 'id,email,type,reason,createdAt');
    for (const { id, email } of found) assert.ok(file.includes(`${id},${email},complaints,"'=${run}, ""so"""`), file);
    for (const { id } of found) await client.suppressions.delete(id);
    const again = await client.suppressions.importCsv(file);
    assert.deepEqual([again.created >= 3, again.refused], [true, []]);
    assert.equal((await client.suppressions.check(names[0])).type, 'complaints');
  });

  test('of more than a thousand at once none is taken', async () => {
    const many = Array.from({ length: 1001 }, (_, at) => ({ email: `${at}.${run}@example.org` }));
    const error = await rejection(client.suppressions.import(many));
    assert.ok(error instanceof InvalidRequestError);
    assert.equal(error.param, 'suppressions');
    assert.equal((await client.suppressions.check(many[0].email)).suppressed, false);
  });
});
