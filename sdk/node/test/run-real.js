'use strict';

// Runs real*.test.js in a Node that trusts the development server's CA: NODE_EXTRA_CA_CERTS counts at start-up only.
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { readReadyFile } = require('./support/ready-file.js');

const env = { ...process.env };
try {
  const ready = readReadyFile();
  if (ready !== undefined) env.NODE_EXTRA_CA_CERTS = ready.caCert;
} catch {
  // The test itself reports what is wrong, as a failure that a test runner counts.
}
const files = ['real.test.js', 'real-account.test.js', 'real-domains.test.js', 'real-suppressions.test.js', 'real-schedule.test.js'].map((name) => path.join(__dirname, name));
const { status, error } = spawnSync(process.execPath, ['--test', ...files], { env, stdio: 'inherit' });
if (error) throw error;
process.exitCode = status ?? 1;
