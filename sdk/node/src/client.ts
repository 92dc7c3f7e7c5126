import { Emails } from './resources/emails.js';
import { Webhooks } from './resources/webhooks.js';
import { resolveSettings } from './settings.js';
import type { SealwrightOptions } from './settings.js';
import { Transport } from './transport.js';

/** A client of one Sealwright server, for one API key. Safe to share and to keep for the life of the program. */
export class Sealwright {
  /** Send messages and read what has become of them. */
  readonly emails: Emails;
  /** Manage the endpoints that events are delivered to. */
  readonly webhooks: Webhooks;

  /** Without a key, the environment's `SEALWRIGHT_API_KEY` is used. Throws `settings_invalid`; opens no connection. */
  constructor(apiKey?: string | undefined, options: SealwrightOptions = {}) {
    const transport = new Transport(resolveSettings(apiKey, options, process.env));
    this.emails = new Emails(transport);
    this.webhooks = new Webhooks(transport);
  }
}
