// Pages in a real Chromium: which of them may call the API, and with what. Run by ../test-browser.sh beside a development server.
//
// Two origins serve the same page; the organization lists one of them. What a page does is told to it by the server that it came from,
// and it tells back what its fetch came to. The browser trusts the API's certificate, reaches this machine only, and is ended by its id.
import { spawn } from 'node:child_process';
import { X509Certificate, createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from 'node:tls';

const SECONDS_MAX = 60;
const BROWSER = process.env.CHROMIUM;
const { apiUrl, liveKey } = JSON.parse(readFileSync(process.env.SEALWRIGHT_READY_FILE, 'utf8'));
const run = randomBytes(6).toString('hex');

let [passed, failed] = [0, 0];
function holds(claim, isTrue, seen) {
  if (isTrue) passed += 1;
  else failed += 1;
  console.log(`  ${isTrue ? 'ok  ' : 'FAIL'}  ${claim}${isTrue ? '' : `: ${JSON.stringify(seen)}`}`);
}

/** A call from here, where there is no browser. */
async function api(method, route, body) {
  const headers = { Authorization: `Bearer ${liveKey}`, 'Content-Type': 'application/json' };
  const answer = await fetch(apiUrl + route, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** A session of a developer of the organization. */
async function session() {
  const [issuer, audience, subject] = [`https://id-${run}.example.com`, 'pages', `ann-${run}`];
  const secret = randomBytes(32).toString('hex');
  const { id } = await api('POST', '/v1/session-issuers', { issuer, audience, algorithm: 'HS256', secret });
  await api('POST', '/v1/members', { issuerId: id, subject, role: 'developer' });
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: audience, sub: subject, iat: now - 1, exp: now + 600 };
  const text = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const { organizationId } = await api('GET', '/v1/me');
  const signature = createHmac('sha256', secret).update(text).digest('base64url');
  return { Authorization: `Bearer ${text}.${signature}`, 'Sealwright-Organization': organizationId };
}

/** What the page runs; it stands here as a function only to be read more easily. */
async function inPage() {
  const { apiUrl, calls } = await (await fetch('/calls')).json();
  const came = {};
  for (const [name, { route, ...options }] of Object.entries(calls)) {
    try {
      const answer = await fetch(apiUrl + route, options);
      came[name] = { status: answer.status, body: await answer.text() };
    } catch (error) {
      came[name] = { error: error.name };
    }
  }
  await fetch('/came', { method: 'POST', body: JSON.stringify(came) });
}

/** An origin whose page makes these calls. `came` is what they came to. */
async function origin() {
  const told = {};
  const came = new Promise((resolve) => { told.came = resolve; });
  const server = createServer(async (request, response) => {
    if (request.url === '/came') {
      let text = '';
      for await (const chunk of request) text += chunk;
      response.end();
      told.came(JSON.parse(text));
      return;
    }
    if (request.url === '/calls') return response.end(JSON.stringify({ apiUrl, calls: told.calls }));
    response.setHeader('Content-Type', 'text/html');
    response.end(`<!doctype html><script>(${inPage})()</script>`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://localhost:${server.address().port}`, told, came, close: () => server.close() };
}

/** By which Chromium knows the server's certificate: the digest of its public key. */
async function fingerprint() {
  const { hostname, port } = new URL(apiUrl);
  const socket = connect({ host: hostname, port: Number(port), servername: 'localhost' });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { publicKey } = new X509Certificate(socket.getPeerCertificate().raw);
  socket.destroy();
  return createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

/** Shows a page until `done`, or until it is too late. */
async function show(url, done) {
  const folder = mkdtempSync(path.join(tmpdir(), 'sealwright-browser-'));
  const words = [
    '--headless', `--user-data-dir=${folder}`, `--ignore-certificate-errors-spki-list=${await fingerprint()}`,
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1', '--remote-debugging-pipe',
    '--disable-background-networking', '--disable-component-update', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  ];
  // Its sandbox refuses to serve root, as whom tests run in containers. The pages are ours.
  if (process.getuid() === 0) words.push('--no-sandbox');
  // A group of its own, so that its children end with it. While the pipes (3 and 4) are open it does not end by itself.
  const browser = spawn(BROWSER, [...words, url], { detached: true, stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
  let said = '';
  browser.stderr.on('data', (chunk) => { said += chunk; });
  const ended = new Promise((resolve) => { browser.once('close', resolve).once('error', resolve); });
  const end = () => {
    try { process.kill(-browser.pid, 'SIGKILL'); } catch { /* It has ended by itself. */ }
  };
  process.once('exit', end);
  let clock;
  const late = new Promise((_, reject) => {
    clock = setTimeout(() => reject(new Error(`the page said nothing for ${SECONDS_MAX} s`)), SECONDS_MAX * 1000);
    ended.then(() => reject(new Error(`${BROWSER} ended by itself`)));
  });
  try {
    return await Promise.race([done, late]);
  } catch (error) {
    throw new Error(`${error.message}; it said: ${said.slice(-2000)}`);
  } finally {
    clearTimeout(clock);
    end();
    await ended;
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const [listed, other] = [await origin(), await origin()];
const before = await api('GET', '/v1/settings');
try {
  await api('PATCH', '/v1/settings', { browserOrigins: [listed.url], keyExposurePolicy: 'revoke' });
  const person = await session();
  const keys = await Promise.all(['listed', 'other'].map((name) => api('POST', '/v1/api-keys', { name: `page ${name} ${run}` })));
  const email = { from: 'shop@example.dev', to: `ann-${run}@example.org`, subject: `From a page ${run}`, text: 'Hello.' };
  const json = { 'Content-Type': 'application/json', 'Idempotency-Key': run };
  const calls = ({ key }) => ({
    session: { route: '/v1/me', headers: person },
    send: { route: '/v1/emails', method: 'POST', headers: { ...person, ...json }, body: JSON.stringify(email) },
    refused: { route: '/v1/members', headers: person },
    cookies: { route: '/v1/me', headers: person, credentials: 'include' },
    key: { route: '/v1/emails', headers: { Authorization: `Bearer ${key}` } },
    nobody: { route: '/v1/openapi.json' },
  });
  listed.told.calls = calls(keys[0]);
  other.told.calls = calls(keys[1]);
  const ours = await show(listed.url, listed.came);
  const theirs = await show(other.url, other.came);
  const isUnread = (came) => came.error === 'TypeError';
  const exposed = async ({ id }) => (await api('GET', `/v1/api-keys/${id}`)).exposedAt !== null;

  console.log('\na page of a listed origin');
  holds('calls with a session and reads the answer', ours.session.status === 200 && ours.session.body.includes('"memberId":"mem_'), ours.session);
  holds('sends an e-mail with it', ours.send.status === 200 && ours.send.body.includes('"id":"email_'), ours.send);
  holds('reads what the session may not', ours.refused.status === 403 && ours.refused.body.includes('"forbidden"'), ours.refused);
  holds('may not send cookies along', isUnread(ours.cookies), ours.cookies);
  holds('is refused with an API key', isUnread(ours.key), ours.key);
  holds('burns the key that it sent', await exposed(keys[0]));
  holds('reads nothing without a session', isUnread(ours.nobody), ours.nobody);
  console.log('\na page of another origin');
  for (const [name, came] of Object.entries(theirs)) holds(`is refused: ${name}`, isUnread(came), came);
  holds('has not even sent its key: the preflight was refused', !(await exposed(keys[1])));
  const { totalCount } = await api('GET', `/v1/emails?to=ann-${run}@example.org`);
  holds('has sent no e-mail', totalCount === 1, totalCount);
} finally {
  const { browserOrigins, keyExposurePolicy } = before;
  await api('PATCH', '/v1/settings', { browserOrigins, keyExposurePolicy });
  for (const each of [listed, other]) each.close();
}
console.log(`\nbrowser: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
