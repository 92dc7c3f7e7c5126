import { SealwrightError } from './errors.js';

/** The server's alphabet for `Idempotency-Key`. */
const IDEMPOTENCY_KEY = /^[A-Za-z0-9._-]{1,255}$/;

/** Every id the server makes fits; `.` and `/` don't, so that no id can point at another route. */
const PATH_ID = /^[A-Za-z0-9_-]{1,128}$/;

/** Options that each call takes. */
export interface CallOptions {
  /** Ends the call, waiting between tries included. */
  signal?: AbortSignal | undefined;
}

/** Options of a send. */
export interface SendOptions extends CallOptions {
  /**
   * 1–255 characters of `A-Z a-z 0-9 . _ -`. The server answers a repeated key with its first answer, for seven days.
   * Default: a random UUID per call, which covers the call's own retries. Pass a key of your own (an order number,
   * a job id) to cover a restart of your program as well.
   */
  idempotencyKey?: string | undefined;
}

const CALL_OPTIONS = ['signal'] as const;
const SEND_OPTIONS = ['signal', 'idempotencyKey'] as const;

/** Refuses misspelt options of a call. */
export function checkCallOptions(options: CallOptions, call: string): void {
  refuseUnknown(options, CALL_OPTIONS, call);
  checkSignal(options.signal, call);
}

/** Refuses misspelt options of a send, and keys the server would refuse. */
export function checkSendOptions(options: SendOptions, call: string): void {
  refuseUnknown(options, SEND_OPTIONS, call);
  checkSignal(options.signal, call);
  const key: unknown = options.idempotencyKey;
  if (key !== undefined && (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key))) {
    throw new SealwrightError(
      'argument_invalid',
      `${call}: idempotencyKey must be 1 to 255 characters of A-Z a-z 0-9 . _ -`,
      { param: 'idempotencyKey' },
    );
  }
}

/** By its shape rather than its class: there are signals of other realms and of polyfills. */
function checkSignal(signal: unknown, call: string): void {
  if (signal === undefined) return;
  if (typeof signal !== 'object' || signal === null || !('aborted' in signal) || !('addEventListener' in signal)) {
    throw new SealwrightError('argument_invalid', `${call}: signal must be an AbortSignal; did you mean controller.signal?`, {
      param: 'signal',
    });
  }
}

/** An unknown option is more often a typing error than a wish to be ignored: `idempotencykey` would send twice. */
export function refuseUnknown(options: unknown, known: readonly string[], where: string): void {
  requireObject(options, where, 'options');
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new SealwrightError('argument_invalid', `${where}: unknown option "${name}"; known are ${known.join(', ')}`, {
        param: name,
      });
    }
  }
}

/** Refuses anything but a plain object where fields are expected. */
export function requireObject(value: unknown, where: string, what: string): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealwrightError('argument_invalid', `${where}: ${what} must be an object`, { param: what });
  }
}

/** Refuses anything but an array of plain objects where a list is expected. */
export function requireList(value: unknown, where: string, what: string): asserts value is object[] {
  if (!Array.isArray(value)) {
    throw new SealwrightError('argument_invalid', `${where}: ${what} must be an array`, { param: what });
  }
  for (const [index, each] of value.entries()) requireObject(each, where, `${what}[${index}]`);
}

/** Returns the id as a path segment. An empty id would turn "get one" into "list all". */
export function pathId(id: unknown, call: string): string {
  if (typeof id !== 'string' || !PATH_ID.test(id)) {
    throw new SealwrightError(
      'argument_invalid',
      `${call}: id must be a string of 1 to 128 letters, digits, "_" or "-", as the server gave it`,
      { param: 'id' },
    );
  }
  return id;
}
