// mailauth's verdict on each message of a corpus: mailauth_verify.mjs DIR FOLDER-WITH-NODE_MODULES
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const [dir, deps] = process.argv.slice(2);
const { dkimVerify } = createRequire(join(resolve(deps), 'package.json'))('mailauth/lib/dkim/verify');

const text = async name => (await readFile(join(dir, name), 'ascii')).trim();
const record = await text('key.txt');
const recordName = `${await text('selector')}._domainkey.${await text('domain')}`;

async function resolver(name, type) {
  if (type === 'TXT' && name === recordName) return [[record]];
  throw Object.assign(new Error(`no ${type} record for ${name}`), { code: 'ENOTFOUND' });
}

async function verdict(raw) {
  try {
    const { results } = await dkimVerify(raw, { resolver });
    const bad = results.find(result => result.status.result !== 'pass');
    if (bad) return ['fail', `${bad.status.result}${bad.status.comment ? `: ${bad.status.comment}` : ''}`];
    return ['pass', `${results.length} valid`];
  } catch (error) {
    // What mailauth trips over in a message is a verdict on that message; the others still count.
    return ['fail', `${error.name}: ${error.message}`];
  }
}

for (const name of (await readdir(dir)).filter(name => name.endsWith('.eml')).sort()) {
  const [word, detail] = await verdict(await readFile(join(dir, name)));
  console.log([name, 'mailauth', word, detail.replace(/\s+/g, ' ')].join('\t'));
}
