'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { clientOf, rejection } = require('./support/client.js');
const { dropConnection } = require('./support/stand-in.js');

const WELCOME = {
  id: 'tpl_1', object: 'template', name: 'Welcome', activeVersion: 1,
  createdAt: '2026-11-25T00:50:12.112Z', updatedAt: '2026-11-25T00:50:12.112Z',
};

/** What went over the wire, as `METHOD path` and body. */
function wire({ requests }) {
  return requests.map(({ method, url, body }) => (body === undefined ? [`${method} ${url}`] : [`${method} ${url}`, body]));
}

describe('templates', () => {
  test('are made, read, listed, changed, tried and deleted', async (t) => {
    const rendering = { object: 'rendering', subject: null, html: null, text: 'Hello Ann', amp: null };
    const { client, server } = await clientOf(t, [
      { status: 201, body: WELCOME },
      { body: WELCOME },
      { body: { object: 'list', data: [WELCOME], hasMore: false, totalCount: 1 } },
      { body: { ...WELCOME, activeVersion: 2 } },
      { body: rendering },
      { body: { id: 'tpl_1', object: 'template', deleted: true } },
    ]);
    const draft = { name: 'Welcome', text: 'Hello {{name}}' };
    assert.deepEqual(await client.templates.create(draft), WELCOME);
    assert.deepEqual(await client.templates.get('tpl_1'), WELCOME);
    const walked = [];
    for await (const { id } of client.templates.iterate({ limit: 5 })) walked.push(id);
    assert.deepEqual(walked, ['tpl_1']);
    assert.equal((await client.templates.update('tpl_1', { subject: null })).activeVersion, 2);
    assert.deepEqual(await client.templates.render('tpl_1', { name: 'Ann' }), rendering);
    assert.equal((await client.templates.delete('tpl_1')).deleted, true);
    assert.deepEqual(wire(server), [
      ['POST /v1/templates', draft],
      ['GET /v1/templates/tpl_1'],
      ['GET /v1/templates?limit=5'],
      ['PATCH /v1/templates/tpl_1', { subject: null }],
      ['POST /v1/templates/tpl_1/render', { variables: { name: 'Ann' } }],
      ['DELETE /v1/templates/tpl_1'],
    ]);
  });

  test('are not made a second time for a lost answer', async (t) => {
    const { client, server } = await clientOf(t, [dropConnection, { status: 201, body: WELCOME }]);
    assert.equal((await rejection(client.templates.create({ name: 'Welcome', text: 'Hello' }))).code, 'network_error');
    assert.equal(server.requests.length, 1);
  });

  test('replace the content that a client sends by default', async (t) => {
    const defaults = { from: 'hello@example.org', subject: 'News', html: '<p>News</p>' };
    const { client, server } = await clientOf(t, [{ body: {} }], { defaults });
    const sent = { to: 'ann@example.org', templateId: 'tpl_1', variables: { name: 'Ann' }, recipientVariables: { 'ann@example.org': { n: 1 } }, inlineCss: true };
    await client.emails.send(sent);
    assert.deepEqual(server.requests[0].body, { ...sent, to: [sent.to], from: defaults.from, subject: 'News' });
  });
});
