// The names are listed rather than starred: a missing one then fails the build, not the importing program.
export { Lettr, Sealwright, SealwrightError, verifyWebhook } from './index.js';
export type * from './index.js';
