'use strict';

const fs = require('node:fs');
const { test } = require('node:test');

const FIELDS = ['apiUrl', 'caCert', 'liveKey', 'testKey', 'outboxUrl'];

/**
 * Returns what `sealwright dev --ready-file PATH` wrote to the path in SEALWRIGHT_READY_FILE, or `undefined` if this
 * run is to do without a server (SEALWRIGHT_REAL=skip). Throws if neither is set: a suite that quietly tests nothing
 * looks like one that passes.
 */
function readReadyFile() {
  const path = process.env.SEALWRIGHT_READY_FILE;
  if (path === undefined || path === '') {
    if (process.env.SEALWRIGHT_REAL === 'skip') return undefined;
    throw new Error(
      'SEALWRIGHT_READY_FILE is not set. Start "sealwright dev --ready-file PATH" and set it to PATH, or set SEALWRIGHT_REAL=skip to leave out the tests against a real server',
    );
  }
  const ready = JSON.parse(fs.readFileSync(path, 'utf8'));
  const missing = FIELDS.filter((field) => typeof ready[field] !== 'string' || ready[field] === '');
  if (missing.length > 0) throw new Error(`${path} lacks ${missing.join(', ')}`);
  return ready;
}

/** Declares tests against the real server; without one, a test that fails or, if that was asked for, is skipped out loud. */
function withRealServer(declareTests) {
  let ready;
  try {
    ready = readReadyFile();
  } catch (error) {
    test('a real server is there to be tested', () => {
      throw error;
    });
    return;
  }
  if (ready !== undefined) {
    declareTests(ready);
    return;
  }
  console.error('\n*** SKIPPED: no test against a real server was run, because SEALWRIGHT_REAL=skip ***\n');
  test('everything against a real server', { skip: 'SEALWRIGHT_REAL=skip' }, () => {});
}

module.exports = { readReadyFile, withRealServer };
