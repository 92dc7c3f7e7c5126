'use strict';

// Runs each code snippet of the promise documents as it is written there. tools/test-promises.sh starts this file.
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { before, test } = require('node:test');
const { CHECKS } = require('./checks.js');
const { snippetsOf } = require('./extract.js');
const { SNIPPETS, WAITING } = require('./snippets.js');
const { openStage } = require('./stage.js');

const folder = process.env.SEALWRIGHT_PROMISES;
if (!folder) throw new Error('SEALWRIGHT_PROMISES does not name the folder of the documents: run tools/test-promises.sh');

const documents = fs.readdirSync(folder).filter((name) => name.endsWith('.txt')).sort();
const extracted = documents.map((name) => snippetsOf(fs.readFileSync(path.join(folder, name), 'utf8')));
const found = extracted.flatMap(({ snippets }) => snippets.map(({ text }) => ({ text, digest: createHash('sha256').update(text).digest('hex') })));
const texts = Object.fromEntries(SNIPPETS.map(([name, digest]) => [name, found.find((each) => each.digest === digest)?.text]));

let stage;
before(async () => {
  stage = await openStage();
});

test('every snippet of the documents is known here, and no other', () => {
  assert.deepEqual(found.map(({ digest }) => digest), SNIPPETS.map(([, digest]) => digest));
  assert.deepEqual(extracted.flatMap(({ leftOver }) => leftOver), []);
});

test('every snippet has its check, and only what is a snippet waits', () => {
  const names = SNIPPETS.map(([name]) => name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(Object.keys(CHECKS).sort(), [...names].sort());
  for (const name of Object.keys(WAITING)) assert.ok(names.includes(name), `${name} waits and is no snippet`);
});

for (const [name] of SNIPPETS) {
  const text = texts[name];
  const waiting = WAITING[name];
  const check = (t) => CHECKS[name]({ t, stage, text, find: (other) => texts[other] });
  if (waiting === undefined) {
    test(name, check);
  } else {
    test(`waiting: ${name} (${waiting.area})`, async (t) => {
      console.error(`waiting: ${name} (area: ${waiting.area})`);
      const reason = await check(t).then(
        () => assert.fail('it works: take it off the list of what is waiting, and change docs/promises.md'),
        (error) => error,
      );
      assert.match(reason.message, waiting.today);
    });
  }
}
