'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const { BlockList } = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { eventually } = require('../support/eventually.js');
const { answerWhatIsLeftOpen, realFetch, refusal, serve, setEnvironment } = require('./stage.js');

/** Stands for the reader's key in the documents. */
const PLACEHOLDER = /\ble_x+\b/g;

/** What each snippet has to do, by its name. Each throws when the snippet does not. */
const CHECKS = {
  async 'a key in the header'({ stage, text }) {
    const asWritten = await fetched(stage, text);
    assert.equal(asWritten.body.error.code, 'unauthorized', 'the placeholder is nobody’s key');
    const { status, body } = await fetched(stage, text.replace(PLACEHOLDER, stage.key));
    assert.equal(status, 200);
    assert.equal(body.object, 'list');
  },

  async 'a key in the URL'({ stage, text }) {
    const { key } = await stage.client.apiKeys.create({ name: 'to be shown in a URL' });
    for (const request of [text, text.replace(PLACEHOLDER, key)]) {
      const { status, body } = await fetched(stage, request);
      assert.equal(status, 400);
      assert.equal(body.error.code, 'api_key_in_url');
    }
  },

  async 'a key for some networks'({ stage, text }) {
    const { stored, owner } = await keyMade(stage, text);
    assert.equal(stored.ipRestrictions.length, 1);
    const error = await refusal(stage, owner.emails.send({}));
    assert.equal(error.code, 'ip_not_allowed');
    assert.ok(error instanceof stage.sdk.ForbiddenError);
  },

  async 'a verified webhook'({ t, stage, text }) {
    const parser = stage.express.raw({ type: 'application/json' });
    const refused = { status: 400, text: 'Invalid signature' };
    await webhookVerified(t, stage, { text, parser, route: '/webhooks', variable: 'WEBHOOK_SECRET', refused });
  },

  async 'addresses that webhooks come from'({ stage, text }) {
    const networks = new BlockList();
    for (const [address, bits] of text.split('\n').map((line) => line.split('/'))) networks.addSubnet(address, Number(bits));
    assert.equal(networks.rules.length, text.split('\n').length);
    const response = await realFetch(`${stage.baseUrl}/v1/meta/ips`, { headers: { Authorization: `Bearer ${stage.key}` } });
    assert.equal(response.status, 200, `the server that would tell its own answers ${response.status}`);
    assert.ok(Array.isArray((await response.json()).webhooks) && response.headers.get('etag'));
  },

  async 'a key in the source'({ t, stage, text }) {
    const lettr = await clientMade(t, stage, text, {});
    assert.equal((await refusal(stage, lettr.emails.list())).code, 'unauthorized');
  },

  async 'a key from the environment'({ t, stage, text }) {
    const lettr = await clientMade(t, stage, text, { LETTR_API_KEY: stage.key });
    assert.ok(Array.isArray(await lettr.emails.list()));
  },

  async 'an ignore file'({ t, text }) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwright-ignore-'));
    t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
    const git = (...words) => execFileSync('git', words, { cwd: folder, encoding: 'utf8' });
    git('init', '--quiet');
    fs.writeFileSync(path.join(folder, '.gitignore'), `${text}\n`);
    for (const name of ['.env', '.env.local', '.env.production.local', '.env.example', 'app.js']) fs.writeFileSync(path.join(folder, name), '');
    git('add', '--all');
    assert.deepEqual(git('ls-files').trim().split('\n'), ['.env.example', '.gitignore', 'app.js']);
  },

  async 'the rotation of a key'({ stage, text }) {
    const { lettr, calls } = stage.recorded();
    const missing = await refusal(stage, stage.run(text, { lettr }));
    assert.ok(missing instanceof stage.sdk.NotFoundError, 'the placeholder is nobody’s key');
    assert.equal(missing.code, 'not_found');
    assert.deepEqual(calls.map(({ method, status }) => [method, status]), [['POST', 201], ['DELETE', 404]]);

    const old = await stage.client.apiKeys.create({ name: 'to be replaced' });
    const placeholder = calls[1].path.split('/').at(-1);
    const { owner } = await keyMade(stage, text.replace(placeholder, old.id));
    assert.match((await owner.emails.send({})).id, /^email_/);
    await refusedSoon(stage, stage.clientOf(old.key));
  },

  async 'a key for everything'({ stage, text }) {
    const { lettr } = stage.recorded();
    const error = await refusal(stage, stage.run(text, { lettr }));
    assert.equal(error.code, 'confirmation_required');
    assert.equal(error.param, 'permissions');
  },

  async 'a key for sending'({ stage, text }) {
    const { owner } = await keyMade(stage, text);
    assert.match((await owner.emails.send({})).id, /^email_/);
    for (const call of [() => owner.emails.list(), () => owner.webhooks.list(), () => owner.apiKeys.create()]) {
      assert.ok((await refusal(stage, call())) instanceof stage.sdk.ForbiddenError);
    }
  },

  async 'a verified webhook from its raw body'({ t, stage, text }) {
    const refused = { status: 400, text: 'Invalid signature' };
    const { post, body } = await webhookVerified(t, stage, { text, route: '/webhooks', variable: 'LETTR_WEBHOOK_SECRET', refused });
    assert.deepEqual(await post('/webhooks', { headers: { 'Content-Type': 'application/json' }, body }), refused);
  },

  async 'webhooks from known addresses'({ t, stage, text, find }) {
    const app = stage.express();
    app.set('trust proxy', 'loopback');
    await stage.run(text, { app });
    app.post('/webhooks', (req, res) => res.sendStatus(204));
    const post = await serve(t, app);
    const foreign = { status: 403, text: 'Forbidden' };
    assert.deepEqual(await post('/webhooks'), foreign);
    assert.deepEqual(await post('/webhooks', { headers: { 'X-Forwarded-For': '198.51.100.7' } }), foreign);
    const published = find('addresses that webhooks come from').split('\n').map((line) => line.split('/')[0]);
    const answers = await Promise.all(published.map((address) => post('/webhooks', { headers: { 'X-Forwarded-For': address } })));
    const admitted = answers.filter(({ status }) => status === 204).length;
    assert.equal(admitted, text.match(/\d+\.\d+\.\d+\.\d+/g).length, 'the snippet lists addresses that the other document does not');
  },

  async 'a second factor for the team'({ stage, text }) {
    const { lettr, calls } = stage.recorded();
    await stage.run(text, { lettr });
    assert.deepEqual(calls.map(({ status }) => status), [200]);
  },

  async 'the members of the team'({ stage, text }) {
    const { lettr, calls } = stage.recorded();
    const lines = await logged(stage, text, { lettr });
    assert.equal(lines.length, calls[0].answer.data.length);
    for (const { email, role } of lines) assert.ok(email.includes('@') && role !== undefined);
  },

  async 'a password in a message'({ stage, text }) {
    const { lettr } = stage.recorded();
    const error = await refusal(stage, stage.run(text, { lettr, password: 'correct horse battery staple' }), 'the password');
    assert.ok(error instanceof stage.sdk.InvalidRequestError);
  },

  async 'a link in a message'({ stage, text }) {
    const resetUrl = 'https://shop.example.org/reset/7';
    const { asked, email } = await messageSent(stage, text, { resetUrl });
    assert.ok(asked.html.includes(resetUrl));
    assert.equal(email.html, asked.html);
  },

  async 'a number of a person in metadata'({ stage, text }) {
    const { lettr } = stage.recorded();
    const error = await refusal(stage, stage.run(text, { lettr }), 'the number');
    assert.ok(error instanceof stage.sdk.InvalidRequestError);
  },

  async 'a reference in metadata'({ stage, text }) {
    const { asked, email } = await messageSent(stage, text);
    assert.ok(Object.keys(asked.metadata).length > 0);
    assert.deepEqual(email.metadata, asked.metadata);
  },

  async 'an alert on statistics'({ stage, text }) {
    await stage.client.emails.send({});
    for (const [normalDailyAverage, count] of [[0, 1], [1e9, 0]]) {
      const alerts = [];
      const { lettr } = stage.recorded();
      await stage.run(text, { lettr, normalDailyAverage, alertSecurityTeam: (words) => alerts.push(words) });
      assert.equal(alerts.length, count);
    }
  },

  async 'a search of the audit log'({ stage, text }) {
    await stage.client.apiKeys.create({ name: 'to be found in the log' });
    const { lettr } = stage.recorded();
    const lines = await logged(stage, text, { lettr });
    assert.ok(lines.some(({ action }) => action === 'api_key.created'));
  },

  async 'a webhook verified without the client'({ t, stage, text }) {
    const parser = stage.express.json();
    const refused = { status: 401, text: '{"error":"Invalid signature"}' };
    const route = '/webhooks/mailpipe';
    await webhookVerified(t, stage, { text, parser, route, variable: 'MAILPIPE_WEBHOOK_SECRET', refused, isTypeScript: true });
  },
};

/** Does what a document says: runs a snippet with `fetch`, whose one request goes to the server under test instead. */
async function fetched(stage, text) {
  const answers = [];
  const toServer = (url, init) => {
    const { pathname, search, hostname } = new URL(url);
    assert.match(hostname, /^api\./);
    answers.push(realFetch(stage.baseUrl + pathname + search, init));
    return answers.at(-1);
  };
  await stage.run(text, { fetch: toServer });
  assert.equal(answers.length, 1);
  const response = await answers[0];
  return { status: response.status, body: await response.json() };
}

/** Runs a snippet that makes a key, and returns what the server then knows of it beside what was asked and answered. */
async function keyMade(stage, text) {
  const { lettr, calls } = stage.recorded();
  await stage.run(text, { lettr });
  const { asked, answer } = calls[0];
  const stored = await stage.client.apiKeys.get(answer.id);
  for (const [field, value] of Object.entries(asked)) assert.deepEqual(stored[field], value, field);
  assert.equal(stored.key, undefined);
  return { calls, asked, stored, owner: stage.clientOf(answer.key) };
}

/** Runs a snippet that sends a message, and returns what was asked and how the message reads at the server. */
async function messageSent(stage, text, names) {
  const { lettr, calls } = stage.recorded();
  await stage.run(text, { lettr, ...names });
  assert.equal(calls.length, 1);
  const [{ asked, status, answer }] = calls;
  assert.equal(status, 200);
  return { asked, email: await stage.client.emails.get(answer.id) };
}

/** Mounts a snippet's route in an express app, and delivers a webhook of the server to it: whole, changed, and unsigned. */
async function webhookVerified(t, stage, { text, parser, route, variable, refused, isTypeScript }) {
  const { headers, body, secret } = await stage.delivery();
  const app = answerWhatIsLeftOpen(stage.express());
  if (parser !== undefined) app.use(parser);
  setEnvironment(t, { [variable]: secret });
  await stage.run(text, { app, express: stage.express }, { isTypeScript });
  const post = await serve(t, app);
  assert.equal((await post(route, { headers, body })).status, 204);
  const changed = body.replace('email.delivered', 'email.bounced');
  assert.notEqual(changed, body);
  assert.deepEqual(await post(route, { headers, body: changed }), refused);
  process.env[variable] = `${secret}x`;
  assert.deepEqual(await post(route, { headers, body }), refused);
  return { post, body };
}

/** Runs a snippet that makes a client, and returns the client. */
async function clientMade(t, stage, text, environment) {
  const made = [];
  class Lettr extends stage.sdk.Lettr {
    constructor(...call) {
      super(...call);
      made.push(this);
    }
  }
  setEnvironment(t, { ...environment, SEALWRIGHT_BASE_URL: stage.baseUrl });
  await stage.run(text, { Lettr });
  assert.equal(made.length, 1);
  return made[0];
}

/** Runs a snippet that prints, and returns what it printed. */
async function logged(stage, text, names) {
  const lines = [];
  await stage.run(text, { ...names, console: { log: (line) => lines.push(line) } });
  return lines;
}

/** A deleted key may be taken for good for a moment, where it was found good a moment before. */
function refusedSoon(stage, client) {
  return eventually('the refusal of a deleted key', async () => {
    const error = await client.emails.send({}).catch((reason) => reason);
    return error instanceof stage.sdk.UnauthorizedError ? error : undefined;
  });
}

module.exports = { CHECKS };
