'use strict';

const assert = require('node:assert/strict');
const { Sealwright, SealwrightError } = require('sealwright');
const { startStandIn } = require('./stand-in.js');

const KEY = 'le_test_not-a-real-key';

/** A client of a stand-in which answers by the steps, and the stand-in. It is closed when the test `t` is over. */
async function clientOf(t, steps, options) {
  const server = await startStandIn(...steps);
  t.after(() => server.close());
  return { client: new Sealwright(KEY, { baseUrl: server.baseUrl, ...options }), server };
}

/** The error that a call ends with; never one that shows the key. */
async function rejection(promise) {
  const error = await promise.then(
    (value) => assert.fail(`expected a rejection, got ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof SealwrightError, `expected a SealwrightError, got ${error}`);
  assert.ok(!JSON.stringify(error).includes(KEY) && !error.stack.includes(KEY), 'the key is in the error');
  return error;
}

/** A list answer with items of these ids. */
function listOf(ids, hasMore, extra = {}) {
  return { body: { object: 'list', data: ids.map((id) => ({ id, object: 'email' })), hasMore, totalCount: 5, ...extra } };
}

module.exports = { KEY, clientOf, listOf, rejection };
