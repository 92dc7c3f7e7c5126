'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { clientOf } = require('./support/client.js');

const SENT = { body: { id: 'email_1', object: 'email', status: 'queued' } };

describe('the defaults of a client', () => {
  test('fill what a message leaves out or undefined', async (t) => {
    const { client, server } = await clientOf(t, [SENT], { defaults: { from: 'Shop <hello@example.com>', to: 'ops@example.com', tags: ['shop'] } });
    await client.emails.send({ subject: 'Disk full', text: 'It is.', from: undefined });
    assert.deepEqual(server.requests[0].body, {
      from: 'Shop <hello@example.com>',
      to: ['ops@example.com'],
      tags: ['shop'],
      subject: 'Disk full',
      text: 'It is.',
    });
  });

  test('are replaced, not added to, by the fields of a message', async (t) => {
    const { client, server } = await clientOf(t, [SENT], { defaults: { from: 'hello@example.com', tags: ['shop'], metadata: { a: 1 } } });
    await client.emails.send({ from: 'bills@example.com', to: ['ann@example.org'], subject: 'Bill', text: 'Hi', tags: [], metadata: { b: 2 } });
    const { from, tags, metadata } = server.requests[0].body;
    assert.deepEqual({ from, tags, metadata }, { from: 'bills@example.com', tags: [], metadata: { b: 2 } });
  });

  test('never put a default text beside the HTML of a message', async (t) => {
    const { client, server } = await clientOf(t, [SENT], { defaults: { html: '<p>Default</p>', text: 'Default' } });
    await client.emails.send({ html: '<p>Own</p>' });
    await client.emails.send({ text: 'Own' });
    await client.emails.send({ metadata: { userId: 'user_123' } });
    const contents = server.requests.map(({ body: { html, text } }) => ({ html, text }));
    assert.deepEqual(contents, [
      { html: '<p>Own</p>', text: undefined },
      { html: undefined, text: 'Own' },
      { html: '<p>Default</p>', text: 'Default' },
    ]);
  });

  test('stay as they were when the object that held them changes', async (t) => {
    const defaults = { from: 'hello@example.com' };
    const { client, server } = await clientOf(t, [SENT], { defaults });
    defaults.from = 'changed@example.com';
    await client.emails.send({ to: 'ann@example.org', subject: 'Hi', text: 'Hi' });
    assert.equal(server.requests[0].body.from, 'hello@example.com');
  });
});
