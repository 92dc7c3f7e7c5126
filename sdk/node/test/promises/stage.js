'use strict';

// Where the snippets run: a project that has the packed SDK under the name they import, real express, a real server.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const ts = require('typescript');
const { eventually } = require('../support/eventually.js');
const { readReadyFile } = require('../support/ready-file.js');

/** What the snippets' messages leave to their reader: who writes to whom about what. */
const DEFAULTS = { from: 'hello@example.dev', to: 'ann@example.org', subject: 'As promised', text: 'As promised.' };

/** A snippet may get another one under the global name. */
const realFetch = globalThis.fetch;

/** Opens the stage in the project that PROMISES_PROJECT names, beside the server of SEALWRIGHT_READY_FILE. */
async function openStage() {
  const project = process.env.PROMISES_PROJECT;
  const ready = readReadyFile();
  if (!project || ready === undefined) throw new Error('run tools/test-promises.sh, which makes the project and starts the server');
  const entry = path.join(project, 'entry.mjs');
  fs.writeFileSync(entry, "export * from 'lettr';\nexport { default as express } from 'express';\n");
  return new Stage(project, ready, await import(pathToFileURL(entry).href));
}

class Stage {
  #project;
  #ready;
  #runs = 0;

  constructor(project, ready, modules) {
    this.#project = project;
    this.#ready = ready;
    this.sdk = modules;
    this.express = modules.express;
    this.baseUrl = ready.apiUrl;
    this.key = ready.liveKey;
    /** A client of the organization's own, for looking behind the snippets. */
    this.client = this.clientOf(ready.liveKey);
  }

  clientOf(key, options) {
    return new this.sdk.Lettr(key, { baseUrl: this.baseUrl, defaults: DEFAULTS, ...options });
  }

  /** A client for a snippet, and what it asked and was answered. */
  recorded() {
    const calls = [];
    const record = async (url, init) => {
      const response = await realFetch(url, init);
      const asked = init.body === null ? undefined : JSON.parse(init.body);
      calls.push({ method: init.method, path: new URL(url).pathname, asked, status: response.status, answer: await response.clone().json() });
      return response;
    };
    return { lettr: this.clientOf(this.key, { fetch: record }), calls };
  }

  /**
   * Runs a snippet to its end, byte for byte, as a module of the project. The names that it leaves open are globals for
   * as long.
   */
  async run(text, names, { isTypeScript = false } = {}) {
    this.#runs += 1;
    const file = path.join(this.#project, `snippet-${this.#runs}.mjs`);
    const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext };
    fs.writeFileSync(file, isTypeScript ? ts.transpileModule(text, { compilerOptions }).outputText : text);
    const before = Object.keys(names).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
    for (const [name, value] of Object.entries(names)) Object.defineProperty(globalThis, name, { value, configurable: true });
    try {
      await import(pathToFileURL(file).href);
    } finally {
      for (const [name, descriptor] of before) {
        if (descriptor === undefined) delete globalThis[name];
        else Object.defineProperty(globalThis, name, descriptor);
      }
    }
  }

  /** A webhook that the server sent about a message: signing headers and body as its receiver saw them, and the secret. */
  async delivery() {
    const { id } = await this.client.emails.send({ subject: 'Told of by a webhook' });
    const { headers, body, secret } = await eventually('a webhook', async () => {
      const response = await realFetch(this.#ready.outboxUrl, { headers: { Accept: 'application/json' } });
      const { messages } = await response.json();
      return messages.flatMap((message) => message.webhooks).find((each) => each.emailId === id && each.type === 'email.delivered');
    });
    const signing = ['content-type', 'lettr-signature', 'x-mailpipe-signature'];
    return { headers: Object.fromEntries(signing.map((name) => [name, headers[name]])), body, secret };
  }
}

/** Sets variables of the environment until the test is over. */
function setEnvironment(t, variables) {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  t.after(() => {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
}

/** Serves an express app on the loopback until the test is over, and returns how to post to it: the answer's status and text. */
async function serve(t, app) {
  const server = http.createServer(app);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return async (route, { headers, body } = {}) => {
    const response = await realFetch(`http://127.0.0.1:${server.address().port}${route}`, { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  };
}

/**
 * The snippets' handlers leave the answer to a good request to their reader. Here it is 204, given when the handler has
 * returned and has answered nothing itself.
 */
function answerWhatIsLeftOpen(app) {
  const post = app.post.bind(app);
  app.post = (route, ...handlers) => {
    const handler = handlers.pop();
    return post(route, ...handlers, (req, res, next) => {
      handler(req, res, next);
      if (!res.headersSent) res.sendStatus(204);
    });
  };
  return app;
}

/** The error of the SDK, as installed in the project, that a promise ends with. */
async function refusal(stage, promise, what = 'the call') {
  const error = await promise.then(
    () => assert.fail(`${what} was accepted`),
    (reason) => reason,
  );
  // What the snippet itself does wrong, such as calling what is not there, is for the caller to see as it is.
  if (!(error instanceof stage.sdk.SealwrightError)) throw error;
  return error;
}

module.exports = { answerWhatIsLeftOpen, openStage, realFetch, refusal, serve, setEnvironment };
