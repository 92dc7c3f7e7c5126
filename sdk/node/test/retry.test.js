'use strict';

// The arithmetic of retries, tried on the module itself: through the client it would take minutes of real waiting.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SealwrightError } = require('sealwright');
const { BACKOFF_MAX_MS, parseRetryAfter, retryDelayMs } = require('../dist/retry.js');

const REPEATABLE = { isRepeatable: true, retryOnRateLimit: true, random: () => 0.5 };

function failure(code, details) {
  return new SealwrightError(code, 'for the test', details);
}

test('back-off doubles from try to try and stays under its ceiling', () => {
  const lost = failure('network_error');
  const shortest = [1, 2, 3, 4, 5, 6].map((tries) => retryDelayMs(lost, tries, { ...REPEATABLE, random: () => 0 }));
  assert.deepEqual(shortest, [250, 500, 1000, 2000, 4000, 4000]);
  for (let tries = 1; tries <= 10; tries += 1) {
    const longest = retryDelayMs(lost, tries, { ...REPEATABLE, random: () => 0.999999 });
    assert.ok(longest <= BACKOFF_MAX_MS && longest >= shortest[0]);
  }
});

test('the wait that the server asks for counts, up to a minute', () => {
  const busy = (retryAfter) => failure('rate_limit_exceeded', { status: 429, retryAfter });
  assert.equal(retryDelayMs(busy(7), 1, REPEATABLE), 7050);
  assert.equal(retryDelayMs(busy(0), 3, REPEATABLE), 50);
  assert.equal(retryDelayMs(busy(60), 1, REPEATABLE), 60_050);
  assert.equal(retryDelayMs(busy(61), 1, REPEATABLE), undefined);
});

test('work that may have been done is repeated only where that is harmless', () => {
  const unclear = [failure('network_error'), failure('timeout'), failure('x', { status: 502 }), failure('x', { status: 504 })];
  for (const error of unclear) {
    assert.ok(retryDelayMs(error, 1, REPEATABLE) > 0);
    assert.equal(retryDelayMs(error, 1, { ...REPEATABLE, isRepeatable: false }), undefined);
  }
  for (const status of [408, 429, 503]) {
    assert.ok(retryDelayMs(failure('x', { status }), 1, { ...REPEATABLE, isRepeatable: false }) > 0);
  }
});

test('a 503 is work not done, unless it says that nobody knows', () => {
  const unknown = failure('outcome_unknown', { status: 503 });
  assert.ok(retryDelayMs(unknown, 1, REPEATABLE) > 0);
  assert.equal(retryDelayMs(unknown, 1, { ...REPEATABLE, isRepeatable: false }), undefined);
});

test('what a repetition would not mend is not repeated', () => {
  for (const status of [400, 401, 403, 404, 409, 410, 413, 415, 421, 500]) {
    assert.equal(retryDelayMs(failure('idempotency_key_conflict', { status }), 1, REPEATABLE), undefined);
  }
  for (const code of ['tls_error', 'aborted', 'argument_invalid']) {
    assert.equal(retryDelayMs(failure(code), 1, REPEATABLE), undefined);
  }
});

test('Retry-After is read as seconds or as a date, and nonsense is left out', () => {
  const now = Date.parse('2026-09-21T14:00:00Z');
  const cases = [
    [null, undefined],
    ['0', 0],
    [' 12 ', 12],
    ['Mon, 21 Sep 2026 14:00:30 GMT', 30],
    ['Mon, 21 Sep 2026 13:00:00 GMT', 0],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    ['2026', 2026],
    ['9999999999', undefined],
  ];
  for (const [header, seconds] of cases) assert.equal(parseRetryAfter(header, now), seconds, `for ${header}`);
});
