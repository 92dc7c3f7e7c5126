'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { NotFoundError } = require('sealwright');
const { clientOf, rejection } = require('./support/client.js');
const { dropConnection, problem } = require('./support/stand-in.js');

const ANN = { id: 'sup_1', object: 'suppression', email: 'ann@example.org', type: 'manual', createdAt: '2026-11-25T00:50:12.112Z' };
const IMPORTED = { object: 'suppression_import', created: 1, existing: 0, refused: [] };
const COLUMNS = 'id,email,type,reason,createdAt\r\n';

/** What went over the wire, as `METHOD path` and body. */
function wire({ requests }) {
  return requests.map(({ method, url, body }) => (body === undefined ? [`${method} ${url}`] : [`${method} ${url}`, body]));
}

/** A part of an export in CSV, and where its `Link` leads. */
function csv(body, link) {
  const headers = { 'Content-Type': 'text/csv', ...(link === undefined ? {} : { Link: link }) };
  return { headers, body: COLUMNS + body };
}

describe('suppressions', () => {
  test('are made, read, checked and listed', async (t) => {
    const check = { object: 'suppression_check', email: ANN.email, suppressed: true, id: ANN.id, type: ANN.type };
    const { client, server } = await clientOf(t, [
      { status: 201, body: ANN },
      { body: ANN },
      { body: check },
      { body: { object: 'list', data: [ANN], hasMore: true, totalCount: 2 } },
      { body: { object: 'list', data: [{ ...ANN, id: 'sup_0' }], hasMore: false, totalCount: 2 } },
    ]);
    const draft = { email: ANN.email, type: 'manual', reason: 'asked by telephone' };
    assert.deepEqual(await client.suppressions.create(draft), ANN);
    assert.deepEqual(await client.suppressions.get('sup_1'), ANN);
    assert.deepEqual(await client.suppressions.check('ann+news@example.org'), check);
    const walked = [];
    for await (const { id } of client.suppressions.iterate({ limit: 1, type: 'manual' })) walked.push(id);
    assert.deepEqual(walked, ['sup_1', 'sup_0']);
    assert.deepEqual(wire(server), [
      ['POST /v1/suppressions', draft],
      ['GET /v1/suppressions/sup_1'],
      ['GET /v1/suppressions/check?email=ann%2Bnews%40example.org'],
      ['GET /v1/suppressions?limit=1&type=manual'],
      ['GET /v1/suppressions?limit=1&type=manual&starting_after=sup_1'],
    ]);
  });

  test('are deleted by their id, or by an address that nothing in it makes a path', async (t) => {
    const { client, server } = await clientOf(t, [{ body: { id: 'sup_1', object: 'suppression', deleted: true } }]);
    for (const target of ['sup_1', 'ann+news@example.org', '../../api-keys/key_1?a=b&c@example.org']) {
      assert.equal((await client.suppressions.delete(target)).deleted, true);
    }
    assert.deepEqual(wire(server), [
      ['DELETE /v1/suppressions/sup_1'],
      ['DELETE /v1/suppressions?email=ann%2Bnews%40example.org'],
      ['DELETE /v1/suppressions?email=..%2F..%2Fapi-keys%2Fkey_1%3Fa%3Db%26c%40example.org'],
    ]);
  });

  test('are made a second time for a lost answer, but not deleted a second time', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, { status: 201, body: ANN }, dropConnection, problem(404, 'not_found')]);
    assert.deepEqual(await client.suppressions.create({ email: ANN.email }), ANN);
    assert.equal((await rejection(client.suppressions.delete(ANN.email))).code, 'network_error');
    assert.equal(server.requests.length, 3);
    assert.ok((await rejection(client.suppressions.delete(ANN.email))) instanceof NotFoundError);
  });
});

describe('an import', () => {
  test('is a list as JSON, or a text as it is', async (t) => {
    const { client, server } = await clientOf(t, [{ body: IMPORTED }]);
    const list = [{ email: ANN.email }, { email: 'bob@example.org', type: 'complaints', reason: 'by post' }];
    const text = '\u{feff}email,reason\r\nann@example.org,"said ""no"", žádné"\r\n';
    assert.deepEqual(await client.suppressions.import(list), IMPORTED);
    assert.deepEqual(await client.suppressions.importCsv(text), IMPORTED);
    assert.deepEqual(wire(server), [
      ['POST /v1/suppressions/import', { suppressions: list }],
      ['POST /v1/suppressions/import', text],
    ]);
    assert.deepEqual(server.requests.map(({ headers }) => headers['content-type']), ['application/json', 'text/csv']);
  });

  test('is done again after a lost answer', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, { body: { ...IMPORTED, created: 0, existing: 1 } }]);
    assert.equal((await client.suppressions.importCsv('email\nann@example.org\n')).existing, 1);
    assert.equal(server.requests[1].text, server.requests[0].text);
  });

  test('refuses what is neither, before anything is sent', async (t) => {
    const { client, server } = await clientOf(t, [{ body: IMPORTED }]);
    for (const list of [undefined, 'ann@example.org', { email: ANN.email }]) {
      assert.equal((await rejection(client.suppressions.import(list))).param, 'suppressions');
    }
    assert.equal((await rejection(client.suppressions.import([{ email: ANN.email }, 'bob@example.org']))).param, 'suppressions[1]');
    for (const text of [undefined, Buffer.from('email\n'), [{ email: ANN.email }]]) {
      assert.equal((await rejection(client.suppressions.importCsv(text))).param, 'csv');
    }
    assert.equal(server.requests.length, 0);
  });
});

describe('an export', () => {
  test('is an array of all, however many parts it takes', async (t) => {
    const { client, server } = await clientOf(t, [
      { body: { object: 'list', data: [ANN], hasMore: true, totalCount: 2 } },
      { body: { object: 'list', data: [{ ...ANN, id: 'sup_0' }], hasMore: false, totalCount: 2 } },
    ]);
    assert.deepEqual(await client.suppressions.export({ type: 'manual' }), [ANN, { ...ANN, id: 'sup_0' }]);
    assert.deepEqual(wire(server), [
      ['GET /v1/suppressions/export?type=manual'],
      ['GET /v1/suppressions/export?type=manual&starting_after=sup_1'],
    ]);
  });

  test('is one CSV file, however many parts it takes', async (t) => {
    const [first, second, third] = ['c', 'b', 'a'].map((name) => `sup_${name},${name}@example.org,manual,,2026-11-25T00:50:12.112Z\r\n`);
    const next = (id) => `</v1/suppressions/export?format=csv&starting_after=${id}>; rel="next"`;
    const { client, server } = await clientOf(t, [csv(first, next('sup_c')), problem(503, 'overloaded', { headers: { 'Retry-After': '0' } }), csv(second, next('sup_b')), csv(third)]);
    assert.equal(await client.suppressions.export({ format: 'csv' }), COLUMNS + first + second + third);
    const path = '/v1/suppressions/export?format=csv';
    assert.deepEqual(server.requests.map(({ url }) => url), [path, `${path}&starting_after=sup_c`, `${path}&starting_after=sup_c`, `${path}&starting_after=sup_b`]);
    assert.ok(server.requests.every(({ headers }) => headers.accept === 'text/csv, application/json'));
  });

  test('follows no link to another place', async (t) => {
    const { client, server } = await clientOf(t, [csv('', '<https://elsewhere.example/v1/keys?starting_after=sup_c>; rel="next"'), csv('')]);
    assert.equal(await client.suppressions.export({ format: 'csv' }), COLUMNS);
    assert.equal(server.requests[1].url, '/v1/suppressions/export?format=csv&starting_after=sup_c');
  });

  test('ends when its links lead nowhere', async (t) => {
    for (const link of ['</v1/suppressions/export?format=csv&starting_after=sup_c>; rel="next"', '</v1/suppressions/export>; rel="next"']) {
      const { client, server } = await clientOf(t, [csv('', link)]);
      assert.equal((await rejection(client.suppressions.export({ format: 'csv' }))).code, 'response_invalid');
      assert.ok(server.requests.length <= 2);
    }
  });

  test('is never a page of something else', async (t) => {
    const { client } = await clientOf(t, [{ headers: { 'Content-Type': 'text/html' }, body: '<h1>Welcome</h1>' }, problem(403, 'forbidden')]);
    assert.equal((await rejection(client.suppressions.export({ format: 'csv' }))).code, 'response_invalid');
    assert.equal((await rejection(client.suppressions.export({ format: 'csv' }))).code, 'forbidden');
  });
});
