'use strict';

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');

/** How long delivery, its webhook, or word of a change may take on a busy machine. */
const DEADLINE_MS = 60_000;
const POLL_MS = 100;

/** Asks again and again until there is an answer; what a call causes happens after it. */
async function eventually(what, ask) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(Date.now() < end, `waited ${DEADLINE_MS} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}

module.exports = { DEADLINE_MS, eventually };
