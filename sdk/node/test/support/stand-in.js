'use strict';

const http = require('node:http');

/**
 * Starts an HTTP server on the loopback that answers requests by a script: the n-th request gets the n-th step, and
 * the last step stays. A step is `{status, headers, body}`, or a function `(request, response) => void` that does
 * what it likes with the connection. Each request is recorded with its body before it is answered.
 */
async function startStandIn(...steps) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    const text = Buffer.concat(chunks).toString('utf8');
    requests.push({ method, url, headers, text, body: bodyOf(text, headers), at: performance.now() });
    const step = steps[Math.min(requests.length, steps.length) - 1];
    if (typeof step === 'function') step(request, response);
    else answer(response, step);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    baseUrl: `http://127.0.0.1:${server.address().port}`,
    requests,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** JSON as what it says, anything else as it came. */
function bodyOf(text, headers) {
  if (text === '') return undefined;
  return headers['content-type'] === 'application/json' ? JSON.parse(text) : text;
}

function answer(response, { status = 200, headers = {}, body = {} }) {
  response.writeHead(status, { 'Content-Type': 'application/json', 'X-Request-Id': 'req_header', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** A step that takes the request and drops the connection: the client can't know whether the work was done. */
function dropConnection(request) {
  request.socket.destroy();
}

/** A step that never answers. */
function staySilent() {}

/** An error answer in the API's shape. */
function problem(status, code, { headers, ...fields } = {}) {
  return { status, headers, body: { error: { code, message: `about ${code}`, requestId: 'req_body', ...fields } } };
}

module.exports = { startStandIn, answer, dropConnection, staySilent, problem };
