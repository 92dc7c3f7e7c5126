// Renders each template that the Rust tests left with Handlebars, and compares.
// Usage: node templates.mjs templates.json
import { readFileSync } from 'node:fs';
import Handlebars from 'handlebars';

const { data, cases } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
let failed = 0;
for (const { source, ours } of cases) {
  const theirs = Handlebars.compile(source)(data);
  if (theirs !== ours) {
    failed += 1;
    console.error(JSON.stringify({ source, ours, theirs }, null, 2));
  }
}
console.log(`${cases.length} templates, ${failed} differ`);
process.exit(failed ? 1 : 0);
