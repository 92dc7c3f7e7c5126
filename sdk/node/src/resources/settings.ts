import { checkCallOptions, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import type { Transport } from '../transport.js';

/** What happens to a key that was found where it should not be. */
export type KeyExposurePolicy = 'revoke' | 'expire_24h' | 'notify';

/** What an organization has chosen. */
export interface OrganizationSettings {
  object: 'settings';
  /** Address that is told when something is wrong. */
  securityContact: string | null;
  keyExposurePolicy: KeyExposurePolicy;
  /** Days, 1 to 3650, after which a key stops working; `null`: never. */
  apiKeyMaxAgeDays: number | null;
  /** Origins (`https://…`) of pages that may call the API from a browser. */
  browserOrigins: string[];
}

/** What can be changed: any of the settings. */
export type SettingsChange = {
  [Name in Exclude<keyof OrganizationSettings, 'object'>]?: OrganizationSettings[Name] | undefined;
};

/** `client.settings` */
export class Settings {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Reads the organization's settings. */
  async get(options: CallOptions = {}): Promise<OrganizationSettings> {
    checkCallOptions(options, 'settings.get');
    const request = { method: 'GET', path: '/v1/settings', isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as OrganizationSettings;
  }

  /** Changes the settings that are given and leaves the others. */
  async update(change: SettingsChange, options: CallOptions = {}): Promise<OrganizationSettings> {
    requireObject(change, 'settings.update', 'change');
    checkCallOptions(options, 'settings.update');
    const request = { method: 'PATCH', path: '/v1/settings', body: change, isRepeatable: true, ...options } as const;
    return (await this.#transport.request(request)) as OrganizationSettings;
  }
}
