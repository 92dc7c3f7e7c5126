// Compiled, never run: the same package seen from a CommonJS program.
import sealwright = require('sealwright');
import type { Lettr } from 'sealwright';

const client: Lettr = new sealwright.Lettr('le_x', { fetch: globalThis.fetch });

export async function send(): Promise<sealwright.SentEmail> {
  return client.emails.send({ from: 'a@example.com', to: 'b@example.org', subject: 'Hi', text: 'Hello' });
}

export function receive(body: string, header: string): sealwright.WebhookEvent {
  return sealwright.verifyWebhook(body, header, 'whsec_x', { toleranceSeconds: 60, now: new Date() });
}
