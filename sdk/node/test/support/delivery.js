'use strict';

const { createHmac } = require('node:crypto');

/** The `v1` of a delivery, computed here by hand so that the tests don't borrow the code they test. */
function v1(secret, timestamp, body) {
  return createHmac('sha256', secret)
    .update(Buffer.concat([Buffer.from(`${timestamp}.`), Buffer.from(body)]))
    .digest('hex');
}

/** The `Lettr-Signature` of a delivery signed with each of the secrets. */
function signatureHeader(body, timestamp, ...secrets) {
  return [`t=${timestamp}`, ...secrets.map((secret) => `v1=${v1(secret, timestamp, body)}`)].join(',');
}

module.exports = { v1, signatureHeader };
