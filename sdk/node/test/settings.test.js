'use strict';

const assert = require('node:assert/strict');
const { afterEach, beforeEach, describe, test } = require('node:test');
const { inspect } = require('node:util');
const { Lettr, Sealwright, SealwrightError } = require('sealwright');
const { startStandIn } = require('./support/stand-in.js');

const KEY = 'le_test_not-a-real-key';
const BASE_URL = 'https://mail.example.com';

function refuses(param, words, ...call) {
  assert.throws(
    () => new Sealwright(...call),
    (error) => {
      assert.ok(error instanceof SealwrightError, `expected a SealwrightError, got ${error}`);
      assert.equal(error.param, param, error.message);
      assert.match(error.message, words);
      return true;
    },
  );
}

const saved = {};
beforeEach(() => {
  for (const name of ['SEALWRIGHT_API_KEY', 'SEALWRIGHT_BASE_URL']) {
    saved[name] = process.env[name];
    delete process.env[name];
  }
});
afterEach(() => {
  for (const [name, value] of Object.entries(saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

describe('the constructor', () => {
  test('goes by two names', () => assert.equal(Lettr, Sealwright));

  test('refuses to guess the server', () => {
    refuses('baseUrl', /SEALWRIGHT_BASE_URL/, KEY);
    process.env.SEALWRIGHT_BASE_URL = '';
    refuses('baseUrl', /SEALWRIGHT_BASE_URL/, KEY);
  });

  test('refuses to do without a key', () => {
    refuses('apiKey', /SEALWRIGHT_API_KEY/, undefined, { baseUrl: BASE_URL });
    refuses('apiKey', /SEALWRIGHT_API_KEY/, '', { baseUrl: BASE_URL });
  });

  test('takes key and server from the environment, its arguments first', async () => {
    const server = await startStandIn({ body: { object: 'list', data: [], hasMore: false, totalCount: 0 } });
    try {
      process.env.SEALWRIGHT_BASE_URL = server.baseUrl;
      process.env.SEALWRIGHT_API_KEY = 'le_from_environment';
      await new Sealwright().emails.list();
      await new Sealwright('le_from_argument').emails.list();
      process.env.SEALWRIGHT_BASE_URL = 'https://unused.example.com';
      await new Sealwright('le_from_argument', { baseUrl: server.baseUrl }).emails.list();
      assert.deepEqual(
        server.requests.map((request) => request.headers.authorization),
        ['Bearer le_from_environment', 'Bearer le_from_argument', 'Bearer le_from_argument'],
      );
    } finally {
      await server.close();
    }
  });

  test('finds the API under the address with and without /v1, slashes and a path', async () => {
    const seen = [];
    const fetch = async (url) => {
      seen.push(url);
      return Response.json({ id: 'email_1' });
    };
    for (const suffix of ['', '/', '/v1', '/v1/', '/mail', '/mail/v1//']) {
      await new Sealwright(KEY, { baseUrl: BASE_URL + suffix, fetch }).emails.get('email_1');
    }
    const plain = `${BASE_URL}/v1/emails/email_1`;
    const nested = `${BASE_URL}/mail/v1/emails/email_1`;
    assert.deepEqual(seen, [plain, plain, plain, plain, nested, nested]);
  });

  test('refuses addresses that would leak the key or are none', () => {
    for (const baseUrl of ['http://mail.example.com', 'http://127.0.0.1.example.com', 'ftp://mail.example.com']) {
      refuses('baseUrl', /https/, KEY, { baseUrl });
    }
    for (const baseUrl of ['mail.example.com', 'https://', 7, {}]) refuses('baseUrl', /not an address/, KEY, { baseUrl });
    for (const baseUrl of ['https://user:pass@mail.example.com', `${BASE_URL}/?a=b`, `${BASE_URL}/#top`]) {
      refuses('baseUrl', /no user, password, query or fragment/, KEY, { baseUrl });
    }
    for (const baseUrl of ['http://127.0.0.1:8025', 'http://localhost:8025', 'http://[::1]:8025']) {
      assert.ok(new Sealwright(KEY, { baseUrl }));
    }
  });

  test('refuses keys that cannot be a header, without repeating them', () => {
    for (const key of ['le_secret\n', ' le_secret', 'le_sécret', 'le_secret\r\nX-Evil: 1', 7]) {
      refuses('apiKey', /^(?!.*secret).*printable ASCII/s, key, { baseUrl: BASE_URL });
    }
  });

  test('refuses unknown and impossible options by name', () => {
    refuses('baseURL', /known are baseUrl/, KEY, { baseURL: BASE_URL });
    for (const timeoutMs of [0, -1, 1.5, NaN, Infinity, '30', 600_001]) {
      refuses('timeoutMs', /from 1 to 600000/, KEY, { baseUrl: BASE_URL, timeoutMs });
    }
    for (const maxRetries of [-1, 11, 0.5, '3']) refuses('maxRetries', /from 0 to 10/, KEY, { baseUrl: BASE_URL, maxRetries });
    refuses('retryOnRateLimit', /true or false/, KEY, { baseUrl: BASE_URL, retryOnRateLimit: 'no' });
    refuses('fetch', /fetch/, KEY, { baseUrl: BASE_URL, fetch: 'curl' });
    for (const defaults of ['hello@example.com', [], 7]) refuses('defaults', /object/, KEY, { baseUrl: BASE_URL, defaults });
    refuses('options', /object/, KEY, BASE_URL);
  });

  test('makes a client that can be printed without showing its key', () => {
    const client = new Sealwright(KEY, { baseUrl: BASE_URL });
    for (const text of [inspect(client, { showHidden: true, depth: 9 }), JSON.stringify(client), String(client)]) {
      assert.ok(!text.includes(KEY), text);
    }
  });
});
