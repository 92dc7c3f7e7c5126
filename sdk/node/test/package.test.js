'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');

const ROOT = path.join(__dirname, '..');
const manifest = require('../package.json');

describe('installed under an alias', () => {
  let folder;
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwright-sdk-'));
    fs.mkdirSync(path.join(folder, 'node_modules'));
    fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'lettr'), 'dir');
  });
  after(() => fs.rmSync(folder, { recursive: true, force: true }));

  function run(file, source) {
    fs.writeFileSync(path.join(folder, file), source);
    return execFileSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' }).trim();
  }

  test('it is imported by ES modules', () => {
    const source = `
      import { Lettr, Sealwright, SealwrightError, verifyWebhook } from 'lettr';
      try { verifyWebhook({}, 'x', 'y'); } catch (error) { console.log(Lettr === Sealwright, error instanceof SealwrightError); }`;
    assert.equal(run('consumer.mjs', source), 'true true');
  });

  test('it is required by CommonJS modules', () => {
    const source = `
      const { Lettr, Sealwright, SealwrightError, verifyWebhook } = require('lettr');
      try { verifyWebhook({}, 'x', 'y'); } catch (error) { console.log(Lettr === Sealwright, error instanceof SealwrightError); }`;
    assert.equal(run('consumer.cjs', source), 'true true');
  });

  test('both kinds of module get one and the same class', () => {
    const source = `
      import * as imported from 'lettr';
      import { createRequire } from 'node:module';
      const required = createRequire(import.meta.url)('lettr');
      const names = Object.keys(required).sort();
      console.log(names.join(), Object.keys(imported).sort().join() === names.join(), names.every((name) => imported[name] === required[name]));`;
    const errors = 'ConflictError,ConnectionError,ForbiddenError,InvalidRequestError,NotFoundError,RateLimitError,SealwrightError,ServerError,UnauthorizedError,WebhookError';
    const names = [...errors.split(','), 'Lettr', 'Sealwright', 'verifyWebhook'].sort().join();
    assert.equal(run('both.mjs', source), `${names} true true`);
  });
});

test('the version sent on the wire is that of the package', () => {
  assert.equal(require('../dist/version.js').VERSION, manifest.version);
});

test('nothing is needed at run time but Node', () => {
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) assert.equal(manifest[kind], undefined);
  const files = fs.readdirSync(path.join(ROOT, 'dist'), { recursive: true }).filter((file) => /\.m?js$/.test(file));
  assert.ok(files.length > 5);
  for (const file of files) {
    const source = fs.readFileSync(path.join(ROOT, 'dist', file), 'utf8');
    for (const [, name] of source.matchAll(/(?:require\(|from )["']([^"']+)["']/g)) {
      assert.match(name, /^(node:|\.\.?\/)/, `${file} imports ${name}`);
    }
  }
});

test('what Node 18 has is enough', () => {
  assert.equal(manifest.engines.node, '>=18');
  // The compiler knows no later API than these two tell it of, so that a use of one would not build.
  assert.match(manifest.devDependencies['@types/node'], /^\^18\./);
  const config = fs.readFileSync(path.join(ROOT, 'tsconfig.json'), 'utf8');
  assert.match(config, /"target": "ES2022",\s*"lib": \["ES2022"\],\s*"types": \["node"\]/);
});

test('the lock file does not say which registry served it', () => {
  assert.ok(!fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8').includes('"resolved"'));
});
