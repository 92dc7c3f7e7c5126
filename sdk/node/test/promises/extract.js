'use strict';

// Finds the code in documents that were saved as plain text, where nothing but its form tells code from prose.
const ts = require('typescript');

/** A comment with such a mark begins an example of its own: what is to be done and what is not stand in one block. */
const VERDICT = /^\/\/ [❌✅]/u;
/** The first line of an ignore file: a comment that is a name. */
const FILE_NAME = /^# \S+$/;
const NETWORK = /^[0-9a-fA-F:.]+\/\d{1,3}$/;
/** Signs of code that prose does not bear. */
const LOOKS_LIKE_CODE = /[;{}]\s*$|=>|^\s*\/\/|^\s*(import|export|const|let|var|await|function)\s/;

/**
 * The snippets of a document in their order, each `{kind, text}`, and the lines outside of them that look like code.
 *
 * A `program` is the longest run of lines that TypeScript's parser takes and in which each statement does something: a
 * word alone on its line parses too, but does nothing. It begins anywhere and ends where a paragraph does. A `file`
 * begins with its name in a comment and, like a list of `networks`, ends with its paragraph.
 */
function snippetsOf(document) {
  const lines = document.replaceAll('\r\n', '\n').split('\n');
  const snippets = [];
  const leftOver = [];
  for (let at = 0; at < lines.length; ) {
    const { kind, end } = snippetAt(lines, at);
    if (kind === undefined) {
      if (LOOKS_LIKE_CODE.test(lines[at])) leftOver.push(lines[at]);
      at += 1;
      continue;
    }
    const run = lines.slice(at, end);
    for (const text of kind === 'program' ? examples(run) : [run.join('\n')]) snippets.push({ kind, text });
    at = end;
  }
  return { snippets, leftOver };
}

function snippetAt(lines, start) {
  if (/^\s*$/.test(lines[start])) return {};
  const end = paragraphEnd(lines, start);
  if (FILE_NAME.test(lines[start])) return { kind: 'file', end };
  if (lines.slice(start, end).every((line) => NETWORK.test(line))) return { kind: 'networks', end };
  const programEnd = endOfProgram(lines, start);
  return programEnd === undefined ? {} : { kind: 'program', end: programEnd };
}

function paragraphEnd(lines, start) {
  let end = start;
  while (end < lines.length && lines[end].trim() !== '') end += 1;
  return end;
}

/** Where the longest program from this line on ends, if there is one. */
function endOfProgram(lines, start) {
  let longest;
  for (let end = paragraphEnd(lines, start); ; ) {
    const verdict = judge(lines.slice(start, end).join('\n'));
    if (verdict === 'program') longest = end;
    if (verdict === 'prose' || end === lines.length) return longest;
    let next = end;
    while (next < lines.length && lines[next].trim() === '') next += 1;
    if (next === lines.length) return longest;
    end = paragraphEnd(lines, next);
  }
}

/** Whether a text is a `program`, could be the beginning of one (`open`), or cannot become one (`prose`). */
function judge(text) {
  const { diagnostics } = ts.transpileModule(text, { reportDiagnostics: true, compilerOptions: { target: ts.ScriptTarget.ESNext } });
  if (diagnostics.length > 0) return diagnostics.every(({ start }) => start >= text.length) ? 'open' : 'prose';
  const { statements } = ts.createSourceFile('snippet.ts', text, ts.ScriptTarget.ESNext);
  if (statements.length === 0) return 'open';
  return statements.every(doesSomething) ? 'program' : 'prose';
}

function doesSomething(statement) {
  if (ts.isLabeledStatement(statement) || ts.isEmptyStatement(statement)) return false;
  if (!ts.isExpressionStatement(statement)) return true;
  const { expression } = statement;
  const isAssignment = ts.isBinaryExpression(expression) && expression.operatorToken.kind === ts.SyntaxKind.EqualsToken;
  return isAssignment || ts.isCallExpression(expression) || ts.isAwaitExpression(expression) || ts.isNewExpression(expression);
}

/** A program, divided where its examples begin. */
function examples(lines) {
  const starts = lines.flatMap((line, at) => (at > 0 && VERDICT.test(line) ? [at] : []));
  return [0, ...starts].map((start, index) => lines.slice(start, starts[index]).join('\n').trimEnd());
}

module.exports = { snippetsOf };
