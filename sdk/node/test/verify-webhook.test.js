'use strict';

const assert = require('node:assert/strict');
const { createHmac, randomBytes } = require('node:crypto');
const { describe, test } = require('node:test');
const vm = require('node:vm');
const { Webhook: StandardWebhook } = require('standardwebhooks');
const { SealwrightError, WebhookError, verifyWebhook } = require('sealwright');
const { signatureHeader, v1 } = require('./support/delivery.js');

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const SIGNED_AT = 1_790_000_000;
const AT_THAT_TIME = { now: SIGNED_AT * 1000 };
const EVENT = {
  id: 'evt_01k5q8f7y2m3n4p5q6r7s8t9v0',
  type: 'email.delivered',
  createdAt: '2026-09-21T14:13:20.000Z',
  data: { emailId: 'email_01k5q8f7y2m3n4p5q6r7s8t9v0', to: 'zoë@example.org', deliveredAt: '2026-09-21T14:13:19.000Z' },
};
const BODY = JSON.stringify(EVENT);
const HEADER = signatureHeader(BODY, SIGNED_AT, SECRET);

function refuses(code, ...call) {
  assert.throws(
    () => verifyWebhook(...call),
    (error) => {
      assert.ok(error instanceof SealwrightError, `expected a SealwrightError, got ${error}`);
      assert.equal(error.code, code, error.message);
      assert.equal(error instanceof WebhookError, code.startsWith('webhook_'));
      assert.ok(!`${error.message}${JSON.stringify(error)}`.includes(SECRET), 'the secret is in the error');
      return true;
    },
  );
}

describe('a genuine delivery', () => {
  test('gives its event, from a string, a Buffer or a Uint8Array', () => {
    for (const body of [BODY, Buffer.from(BODY), new TextEncoder().encode(BODY)]) {
      assert.deepEqual(verifyWebhook(body, HEADER, SECRET, AT_THAT_TIME), EVENT);
    }
  });

  test('matches a signature computed by another program', () => {
    // printf '1790000000.{"id":"evt_1","type":"email.sent","createdAt":"x","data":{}}' | openssl dgst -sha256 -hmac whsec_test
    const body = '{"id":"evt_1","type":"email.sent","createdAt":"x","data":{}}';
    const digest = '7b961a371cdcd0ef05343758020e8f738bad4045ee5e1dd329e4ad7753be034e';
    assert.equal(verifyWebhook(body, `t=1790000000,v1=${digest}`, 'whsec_test', AT_THAT_TIME).id, 'evt_1');
  });

  test('is accepted from a view into a larger buffer, without its neighbours', () => {
    const bytes = Buffer.from(`xx${BODY}yy`);
    const view = new Uint8Array(bytes.buffer, bytes.byteOffset + 2, bytes.byteLength - 4);
    assert.deepEqual(verifyWebhook(view, HEADER, SECRET, AT_THAT_TIME), EVENT);
  });

  test('is accepted as bytes of another realm, as test runners make them', () => {
    const foreign = vm.runInNewContext('new Uint8Array(n)', { n: Buffer.byteLength(BODY) });
    foreign.set(Buffer.from(BODY));
    assert.ok(!(foreign instanceof Uint8Array));
    assert.deepEqual(verifyWebhook(foreign, HEADER, SECRET, AT_THAT_TIME), EVENT);
  });

  test('is accepted during a rotation, whichever place the signature of our secret has', () => {
    for (const secrets of [['whsec_new', SECRET], [SECRET, 'whsec_new']]) {
      assert.deepEqual(verifyWebhook(BODY, signatureHeader(BODY, SIGNED_AT, ...secrets), SECRET, AT_THAT_TIME), EVENT);
    }
  });

  test('is accepted with spaces after commas and with schemes of later versions', () => {
    const header = `${HEADER.replace(',', ', ')}, v2=Zm9v+/=`;
    assert.deepEqual(verifyWebhook(BODY, header, SECRET, AT_THAT_TIME), EVENT);
  });

  test('is accepted up to the tolerance on both sides and refused past it', () => {
    for (const seconds of [-300, 300]) {
      assert.equal(verifyWebhook(BODY, HEADER, SECRET, { now: (SIGNED_AT + seconds) * 1000 }).id, EVENT.id);
    }
    for (const seconds of [-301, 301, -1e6, 1e6]) {
      refuses('webhook_timestamp_out_of_tolerance', BODY, HEADER, SECRET, { now: (SIGNED_AT + seconds) * 1000 });
    }
    assert.equal(verifyWebhook(BODY, HEADER, SECRET, { now: new Date((SIGNED_AT + 9) * 1000), toleranceSeconds: 9 }).id, EVENT.id);
    refuses('webhook_timestamp_out_of_tolerance', BODY, HEADER, SECRET, { now: new Date((SIGNED_AT + 10) * 1000), toleranceSeconds: 9 });
  });

  test('is compared with the real clock when no time is given', () => {
    const now = Math.floor(Date.now() / 1000);
    assert.equal(verifyWebhook(BODY, signatureHeader(BODY, now, SECRET), SECRET).id, EVENT.id);
    refuses('webhook_timestamp_out_of_tolerance', BODY, signatureHeader(BODY, now - 400, SECRET), SECRET);
  });
});

describe('a forged or damaged delivery', () => {
  test('is refused when any bit of its body is flipped', () => {
    const bytes = Buffer.from(BODY);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] ^= 1 << (bit & 7);
      refuses('webhook_signature_mismatch', changed, HEADER, SECRET, AT_THAT_TIME);
    }
  });

  test('is refused with another secret, or the same without its prefix or with its bytes decoded', () => {
    const bare = SECRET.slice('whsec_'.length);
    for (const wrong of ['whsec_other', bare, Buffer.from(bare, 'base64').toString('latin1'), `${SECRET} `]) {
      refuses('webhook_signature_mismatch', BODY, HEADER, wrong, AT_THAT_TIME);
    }
  });

  test('is refused when its timestamp is moved to now under the old signature', () => {
    const replayed = HEADER.replace(`t=${SIGNED_AT}`, `t=${SIGNED_AT + 900}`);
    refuses('webhook_signature_mismatch', BODY, replayed, SECRET, { now: (SIGNED_AT + 900) * 1000 });
  });

  test('is refused when every signature but ours is right', () => {
    refuses('webhook_signature_mismatch', BODY, signatureHeader(BODY, SIGNED_AT, 'whsec_a', 'whsec_b'), SECRET, AT_THAT_TIME);
  });

  test('is refused for random headers of the right form', () => {
    for (let round = 0; round < 200; round += 1) {
      refuses('webhook_signature_mismatch', BODY, `t=${SIGNED_AT},v1=${randomBytes(32).toString('hex')}`, SECRET, AT_THAT_TIME);
    }
  });

  test('is refused when the digest signs the body alone, as the bare form of other products does', () => {
    const bare = createHmac('sha256', SECRET).update(BODY).digest('hex');
    refuses('webhook_signature_mismatch', BODY, `t=${SIGNED_AT},v1=${bare}`, SECRET, AT_THAT_TIME);
  });
});

describe('the signature header', () => {
  const digest = v1(SECRET, SIGNED_AT, BODY);
  const malformed = {
    'missing': undefined,
    'null, as Headers.get gives': null,
    'empty': '',
    'an array of values': [HEADER],
    'an array of two values': [HEADER, HEADER],
    'a number': 7,
    'the bare digest': digest,
    'without t': `v1=${digest}`,
    'without v1': `t=${SIGNED_AT}`,
    'with only an unknown scheme': `t=${SIGNED_AT},v0=${digest}`,
    'with t twice': `t=${SIGNED_AT},t=${SIGNED_AT},v1=${digest}`,
    'two headers joined by a proxy': `${HEADER}, ${HEADER}`,
    'with a digest one digit short': `t=${SIGNED_AT},v1=${digest.slice(1)}`,
    'with a digest one digit long': `t=${SIGNED_AT},v1=${digest}0`,
    'with an upper-case digest': `t=${SIGNED_AT},v1=${digest.toUpperCase()}`,
    'with a digest that is no hex': `t=${SIGNED_AT},v1=${'g'.repeat(64)}`,
    'with a short digest beside the right one': `t=${SIGNED_AT},v1=${digest},v1=00`,
    'with an empty digest': `t=${SIGNED_AT},v1=`,
    'with a signed t': `t=+${SIGNED_AT},v1=${digest}`,
    'with a negative t': `t=-${SIGNED_AT},v1=${digest}`,
    'with a fractional t': `t=${SIGNED_AT}.0,v1=${digest}`,
    'with t in hex': `t=0x6ab1,v1=${digest}`,
    'with leading zeros in t': `t=0${SIGNED_AT},v1=${digest}`,
    'with t past any clock': `t=${'9'.repeat(13)},v1=${digest}`,
    'with t not a number': `t=NaN,v1=${digest}`,
    'with an empty element': `t=${SIGNED_AT},,v1=${digest}`,
    'with a trailing comma': `${HEADER},`,
    'separated by semicolons': HEADER.replace(',', ';'),
    'with a line break': `${HEADER}\n`,
    'with upper-case names': `T=${SIGNED_AT},V1=${digest}`,
    'of absurd length': `${HEADER}${`,v1=${digest}`.repeat(1000)}`,
  };
  for (const [form, header] of Object.entries(malformed)) {
    test(`is refused when ${form}`, () => refuses('webhook_header_invalid', BODY, header, SECRET, AT_THAT_TIME));
  }
});

describe('what else is refused', () => {
  test('a parsed body, with the words that mend it', () => {
    for (const body of [EVENT, {}, [], 7, true, new Map()]) {
      refuses('webhook_body_not_raw', body, HEADER, SECRET, AT_THAT_TIME);
    }
    assert.throws(() => verifyWebhook(EVENT, HEADER, SECRET), /parsed already.*express\.raw\(\{ type: 'application\/json' \}\)/);
  });

  test('no body at all, with the words that mend it', () => {
    for (const body of [undefined, null]) refuses('webhook_body_not_raw', body, HEADER, SECRET, AT_THAT_TIME);
    assert.throws(() => verifyWebhook(undefined, HEADER, SECRET), /no parser ran.*express\.raw/);
  });

  test('a missing secret, even where the delivery is signed with the empty string', () => {
    refuses('webhook_secret_missing', BODY, HEADER, undefined, AT_THAT_TIME);
    refuses('webhook_secret_missing', BODY, signatureHeader(BODY, SIGNED_AT, ''), '', AT_THAT_TIME);
  });

  test('options that would switch the clock check off', () => {
    for (const toleranceSeconds of [Infinity, NaN, -1, '300']) {
      refuses('argument_invalid', BODY, HEADER, SECRET, { ...AT_THAT_TIME, toleranceSeconds });
    }
    for (const now of [NaN, new Date('nonsense')]) refuses('argument_invalid', BODY, HEADER, SECRET, { now });
    refuses('argument_invalid', BODY, HEADER, SECRET, { tolerance: 5 });
    refuses('argument_invalid', BODY, HEADER, SECRET, 300);
  });

  test('rightly signed bodies that are not events', () => {
    const bodies = ['', 'null', '7', '[]', '{}', '{"id":1}', '{"id":"e","type":"t","createdAt":"c","data":null}', BODY.slice(1), `\ufeff${BODY}`];
    for (const body of [...bodies, Buffer.from(BODY, 'latin1')]) {
      refuses('webhook_body_invalid', body, signatureHeader(body, SIGNED_AT, SECRET), SECRET, AT_THAT_TIME);
    }
  });
});

describe('beside Standard Webhooks', () => {
  // A delivery carries both signatures over the same bytes, made from the same secret string. Here the two verifiers,
  // of which one isn't ours, have to agree on deliveries and on their damage.
  const now = Math.floor(Date.now() / 1000);
  const other = new StandardWebhook(SECRET);
  const standardHeaders = {
    'webhook-id': EVENT.id,
    'webhook-timestamp': String(now),
    'webhook-signature': other.sign(EVENT.id, new Date(now * 1000), BODY),
  };
  const header = signatureHeader(BODY, now, SECRET);

  test('both accept a delivery and return the same event', () => {
    assert.deepEqual(verifyWebhook(BODY, header, SECRET), other.verify(BODY, standardHeaders));
  });

  test('both refuse a changed body', () => {
    const changed = BODY.replace('delivered', 'bounced');
    assert.throws(() => other.verify(changed, standardHeaders));
    refuses('webhook_signature_mismatch', changed, header, SECRET);
  });

  test('neither takes the signature of the other', () => {
    const foreign = standardHeaders['webhook-signature'].slice('v1,'.length);
    refuses('webhook_signature_mismatch', BODY, `t=${now},v1=${Buffer.from(foreign, 'base64').toString('hex')}`, SECRET);
    assert.throws(() => other.verify(BODY, { ...standardHeaders, 'webhook-signature': `v1,${Buffer.from(v1(SECRET, now, BODY), 'hex').toString('base64')}` }));
  });
});
