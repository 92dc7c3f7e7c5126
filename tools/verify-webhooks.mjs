// Verifies recorded webhook deliveries as a receiver in Node would: node tools/verify-webhooks.mjs FILE
//
// The file is the one of verify-webhooks.py, which says what is in it. Besides the three signatures, a body must be equal
// to what JSON.parse and JSON.stringify make of it: many receivers sign the parsed body again instead of the raw bytes.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const deps = process.env.NODE_DEPS ?? join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../.deps/node');
const { Webhook } = createRequire(join(deps, 'package.json'))('standardwebhooks');

const AGE_SECONDS_MAX = 300;

function require(condition, problem) {
  if (!condition) throw new Error(problem);
}

function hmacHex(secret, text) {
  return createHmac('sha256', secret).update(text, 'utf8').digest('hex');
}

function equal(given, expected) {
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

const checks = {
  'webhook-signature'({ headers, body, secret }) {
    new Webhook(secret).verify(body, headers);
  },
  'lettr-signature'({ headers, body, secret }) {
    const parts = headers['lettr-signature'].split(',').map(part => part.split('=', 2));
    const times = parts.filter(([name]) => name === 't').map(([, value]) => value);
    require(times.length === 1 && /^\d+$/.test(times[0]), 'no time');
    require(Math.abs(Date.now() / 1000 - Number(times[0])) <= AGE_SECONDS_MAX, 'too old or too new');
    const expected = hmacHex(secret, `${times[0]}.${body}`);
    require(parts.some(([name, value]) => name === 'v1' && equal(value, expected)), 'no v1 matches');
  },
  'x-mailpipe-signature'({ headers, body, secret }) {
    require(equal(headers['x-mailpipe-signature'], hmacHex(secret, body)), 'does not match');
  },
  'x-mailpipe-signature, body parsed and written again'({ headers, body, secret }) {
    const again = JSON.stringify(JSON.parse(body));
    require(again === body, 'JSON.stringify(JSON.parse(body)) is not the body');
    require(equal(headers['x-mailpipe-signature'], hmacHex(secret, again)), 'does not match');
  },
};

function outcome(check, delivery) {
  try {
    check(delivery);
    return null;
  } catch (error) {
    return error.message;
  }
}

let passed = 0;
let failed = 0;
const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean);
lines.forEach((line, index) => {
  const delivery = JSON.parse(line);
  delivery.headers = Object.fromEntries(Object.entries(delivery.headers).map(([name, value]) => [name.toLowerCase(), value]));
  // Still JSON, so that each check refuses it for its signature and not for its syntax.
  const tampered = { ...delivery, body: delivery.body.replace(/\}$/, ',"tampered":true}') };
  for (const [name, check] of Object.entries(checks)) {
    let problem = outcome(check, delivery);
    if (problem === null && outcome(check, tampered) === null) problem = 'accepts a changed body';
    if (problem === null) passed += 1;
    else failed += 1;
    console.log([`delivery ${index + 1}`, name, problem === null ? 'pass' : 'fail', problem ?? ''].join('\t'));
  }
});
console.error(`webhooks-node: ${passed} passed, ${failed} failed`);
// No delivery proves nothing, so it is not a success.
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
