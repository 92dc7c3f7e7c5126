'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { snippetsOf } = require('./promises/extract.js');

const DOCUMENT = `Sending

Overview

  1. Make a key
  • Store it; never print it

Do this:
// ✅ Like this
const draft = {
  to: 'ann@example.org'
};

await client.emails.send(draft);

// ❌ Not like that
await client.emails.send();

Monitoring

In TypeScript:

Node.js
import { run } from 'there';

function twice(job: () => void): void {
  job();

  job();
}

Node.js and others call it so:
run(twice);
Note: run(twice) is not run here.

What to leave out:
# .someignore
build
*.log

Networks:
192.0.2.0/24
2001:db8::/32

Plan1 req/sec

End.`;

test('code is told from the prose around it, whole and in order', () => {
  const { snippets, leftOver } = snippetsOf(DOCUMENT);
  assert.deepEqual(snippets.map(({ kind, text }) => [kind, text.split('\n')[0], text.split('\n').at(-1)]), [
    ['program', '// ✅ Like this', 'await client.emails.send(draft);'],
    ['program', '// ❌ Not like that', 'await client.emails.send();'],
    ['program', "import { run } from 'there';", '}'],
    ['file', '# .someignore', '*.log'],
    ['networks', '192.0.2.0/24', '2001:db8::/32'],
  ]);
  // A program ends where a paragraph does: one that prose follows in the same paragraph is not lost in silence.
  assert.deepEqual(leftOver, ['run(twice);']);
});

test('the lines of a document may end in either way', () => {
  assert.deepEqual(snippetsOf(DOCUMENT.replaceAll('\n', '\r\n')), snippetsOf(DOCUMENT));
});

test('code that cannot be read is told as such', () => {
  const { snippets, leftOver } = snippetsOf('Do this:\n\nconst key = await create({\n  name:\n});\n\nThen that.');
  assert.deepEqual(snippets, []);
  assert.deepEqual(leftOver, ['const key = await create({', '});']);
});
