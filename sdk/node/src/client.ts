import { checkCallOptions } from './arguments.js';
import type { CallOptions } from './arguments.js';
import { ApiKeys } from './resources/api-keys.js';
import type { KeyMode, Permission } from './resources/api-keys.js';
import { Domains } from './resources/domains.js';
import { Emails } from './resources/emails.js';
import type { EmailDefaults } from './resources/emails.js';
import { Relays } from './resources/relays.js';
import { Secrets } from './resources/secrets.js';
import { Settings } from './resources/settings.js';
import { Suppressions } from './resources/suppressions.js';
import { Templates } from './resources/templates.js';
import { Usage } from './resources/usage.js';
import { Webhooks } from './resources/webhooks.js';
import { resolveSettings } from './settings.js';
import type { SealwrightOptions } from './settings.js';
import { Transport } from './transport.js';

/** Who is calling, as the server sees it. */
export interface Caller {
  object: 'caller';
  organizationId: string;
  keyId: string;
  mode: KeyMode;
  permissions: Permission[];
  plan: string;
}

/** A client of one Sealwright server, for one API key. Safe to share and to keep for the life of the program. */
export class Sealwright<Defaults extends EmailDefaults = object> {
  /** Send messages and read what has become of them. */
  readonly emails: Emails<Defaults>;
  /** Add the domains to send from, and see what the DNS shows of them. */
  readonly domains: Domains;
  /** Say who is not to be written to, and see who is not. */
  readonly suppressions: Suppressions;
  readonly templates: Templates;
  /** Send through accounts at other providers. */
  readonly relays: Relays;
  /** Manage the endpoints that events are delivered to. */
  readonly webhooks: Webhooks;
  /** Make, change, rotate and delete API keys. */
  readonly apiKeys: ApiKeys;
  /** Read and change the organization's settings. */
  readonly settings: Settings;
  /** Count what became of each day's recipients. */
  readonly usage: Usage;
  /** Report secrets that were found where they should not be. */
  readonly secrets: Secrets;
  readonly #transport: Transport;

  /** Without a key, the environment's `SEALWRIGHT_API_KEY` is used. Throws `settings_invalid`; opens no connection. */
  constructor(apiKey?: string | undefined, options: SealwrightOptions<Defaults> = {}) {
    const settings = resolveSettings(apiKey, options, process.env);
    this.#transport = new Transport(settings);
    this.emails = new Emails(this.#transport, settings.defaults);
    this.domains = new Domains(this.#transport);
    this.suppressions = new Suppressions(this.#transport);
    this.templates = new Templates(this.#transport);
    this.relays = new Relays(this.#transport);
    this.webhooks = new Webhooks(this.#transport);
    this.apiKeys = new ApiKeys(this.#transport);
    this.settings = new Settings(this.#transport);
    this.usage = new Usage(this.#transport);
    this.secrets = new Secrets(this.#transport);
  }

  /** Reads what the server knows about this client's key. */
  async me(options: CallOptions = {}): Promise<Caller> {
    checkCallOptions(options, 'me');
    return (await this.#transport.request({ method: 'GET', path: '/v1/me', isRepeatable: true, ...options })) as Caller;
  }
}
