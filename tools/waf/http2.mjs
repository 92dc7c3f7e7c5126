// node http2.mjs PORT CA KEY: a mail and an attack over one HTTP/2 connection; prints the two statuses.
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';

const [port, ca, key] = process.argv.slice(2);
const session = connect(`https://localhost:${port}`, { ca: readFileSync(ca) });

function status(headers, body) {
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({ authorization: `Bearer ${key}`, ...headers });
    stream.on('error', reject);
    stream.on('response', (answer) => resolve(answer[':status']));
    stream.resume();
    stream.end(body);
  });
}

const mail = { from: 'shop@example.dev', to: 'reader@example.com', subject: 'HTTP/2', html: '<script>1 OR 1=1</script>'.repeat(20000) };
const sent = { ':method': 'POST', ':path': '/v1/emails', 'content-type': 'application/json' };
console.log(await status(sent, JSON.stringify(mail)));
console.log(await status({ ':path': '/v1/emails?tags=1%20union%20select%201,2' }));
session.close();
