'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { clientOf, listOf, rejection } = require('./support/client.js');

describe('a list', () => {
  test('is an array that says more about the whole', async (t) => {
    const { client } = await clientOf(t, [listOf(['email_1', 'email_2'], true, { totalCount: 10_000, totalCountCapped: true })]);
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

  test('sends its query as the API spells it', async (t) => {
    const { client, server } = await clientOf(t, [listOf([], false)]);
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

  test('refuses tags that the query could not tell apart, and dates that are none', async (t) => {
    const { client, server } = await clientOf(t, [listOf([], false)]);
    for (const tags of [['a,b'], 'a', [7]]) assert.equal((await rejection(client.emails.list({ tags }))).param, 'tags');
    assert.equal((await rejection(client.emails.list({ to_date: new Date('soon') }))).param, 'to_date');
    assert.equal(server.requests.length, 0);
  });

  test('is walked to its end, page after page, with the filters kept', async (t) => {
    const { client, server } = await clientOf(t, [listOf(['a', 'b'], true), listOf(['c', 'd'], true), listOf(['e'], false)]);
    const seen = [];
    for await (const email of client.emails.iterate({ limit: 2, status: 'sent' })) seen.push(email.id);
    assert.deepEqual(seen, ['a', 'b', 'c', 'd', 'e']);
    assert.deepEqual(server.requests.map((request) => request.url), [
      '/v1/emails?limit=2&status=sent',
      '/v1/emails?limit=2&status=sent&starting_after=b',
      '/v1/emails?limit=2&status=sent&starting_after=d',
    ]);
  });

  test('is read no further than the loop goes', async (t) => {
    const { client, server } = await clientOf(t, [listOf(['a', 'b'], true)]);
    for await (const email of client.emails.iterate()) if (email.id === 'b') break;
    assert.equal(server.requests.length, 1);
  });

  test('that does not lead on ends the walk with an error instead of going round', async (t) => {
    const { client, server } = await clientOf(t, [listOf(['a'], true), listOf(['a'], true)]);
    const walk = async (query) => {
      for await (const _ of client.emails.iterate(query));
    };
    assert.equal((await rejection(walk())).code, 'response_invalid');
    assert.equal(server.requests.length, 2);
    assert.equal((await rejection(walk({ ending_before: 'a' }))).param, 'ending_before');
    const { client: another } = await clientOf(t, [listOf([], true)]);
    const page = await another.emails.list();
    assert.equal((await rejection(page.nextPage())).code, 'response_invalid');
  });

  test('is turned page by page, in the direction of its query', async (t) => {
    const { client, server } = await clientOf(t, [listOf(['c', 'd'], true), listOf(['e'], false), listOf(['e', 'f'], true), listOf(['d'], false)]);
    const first = await client.emails.list({ limit: 2, starting_after: 'b', status: 'sent' });
    const second = await first.nextPage();
    assert.deepEqual(second.map((email) => email.id), ['e']);
    assert.equal(await second.nextPage(), undefined);
    const last = await client.apiKeys.list({ limit: 2, ending_before: 'g' });
    const before = await last.nextPage();
    assert.deepEqual(before.map((key) => key.id), ['d']);
    assert.equal(await before.nextPage(), undefined);
    assert.deepEqual(server.requests.map((request) => request.url), [
      '/v1/emails?limit=2&starting_after=b&status=sent',
      '/v1/emails?limit=2&starting_after=d&status=sent',
      '/v1/api-keys?limit=2&ending_before=g',
      '/v1/api-keys?limit=2&ending_before=e',
    ]);
  });

  test('of every resource is walked to its end', async (t) => {
    for (const resource of ['emails', 'webhooks', 'apiKeys']) {
      const { client, server } = await clientOf(t, [listOf(['a'], true), listOf(['b'], false)]);
      const seen = [];
      for await (const item of client[resource].iterate({ limit: 1 })) seen.push(item.id);
      assert.deepEqual(seen, ['a', 'b'], resource);
      assert.equal(server.requests.length, 2);
    }
  });

  test('answer without its fields is an error', async (t) => {
    const { client } = await clientOf(t, [{ body: { data: {} } }, { body: { data: [] } }]);
    assert.equal((await rejection(client.emails.list())).code, 'response_invalid');
    assert.equal((await rejection(client.emails.list())).code, 'response_invalid');
  });
});
