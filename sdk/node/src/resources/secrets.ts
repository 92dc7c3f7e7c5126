import { checkCallOptions, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import type { Transport } from '../transport.js';

/** A secret that was found where it should not be. */
export interface ExposedSecret {
  /** The secret as it was found. */
  token: string;
  /** Where it was found. */
  url?: string | undefined;
  /** What kind of place that is, such as `commit` or `log`. */
  source?: string | undefined;
}

/** The answer to a report. It is the same whether or not the server knows the secrets. */
export interface ExposureReport {
  object: 'exposure_report';
  received: number;
}

/** `client.secrets` */
export class Secrets {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Reports up to 100 secrets that were found in the open. Needs no rights, so the client's own key is not sent along. */
  async reportExposed(found: ExposedSecret | ExposedSecret[], options: CallOptions = {}): Promise<ExposureReport> {
    const secrets = Array.isArray(found) ? found : [found];
    for (const secret of secrets) requireObject(secret, 'secrets.reportExposed', 'secret');
    checkCallOptions(options, 'secrets.reportExposed');
    const route = { method: 'POST', path: '/v1/secrets/exposed', isAnonymous: true, isRepeatable: true } as const;
    return (await this.#transport.request({ ...route, body: { secrets }, ...options })) as ExposureReport;
  }
}
