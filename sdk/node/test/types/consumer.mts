// Compiled, never run: a program as an ES-module user writes it, and the mistakes the types have to catch.
import type { IncomingMessage } from 'node:http';
import { ForbiddenError, Lettr, NotFoundError, RateLimitError, Sealwright, SealwrightError, verifyWebhook } from 'sealwright';
import type { ApiKey, AttachmentInput, Caller, DnsRecord, Email, EmailDefaults, EmailDraft, OrganizationSettings, Page, Suppression, SuppressionImport, WebhookEvent, WebhookEventType } from 'sealwright';

const client = new Sealwright(process.env['SEALWRIGHT_API_KEY'], { baseUrl: 'https://mail.example.com', maxRetries: 5 });
const lettr: Sealwright = new Lettr(process.env['LETTR_API_KEY']);

export async function sendAndRead(signal: AbortSignal): Promise<string> {
  const draft: EmailDraft = {
    from: { email: 'shop@example.com', name: 'Shop' },
    to: ['ann@example.org', { email: 'bob@example.org' }],
    subject: 'Order 7',
    html: '<p>Thanks</p>',
    metadata: { userId: 'user_123', total: 7, paid: true },
    attachments: [{ filename: 'bill.pdf', content: Buffer.from('%PDF'), contentType: 'application/pdf' }],
    scheduledAt: new Date(),
  };
  const { id } = await client.emails.send(draft, { idempotencyKey: 'order-7', signal });
  const email = await client.emails.get(id);
  return email.deliveredAt ?? email.status;
}

export async function schedule(drafts: EmailDraft[]): Promise<string[]> {
  const refused: string[] = [];
  for (const item of await client.emails.sendBatch(drafts, { idempotencyKey: 'batch-7' })) {
    if (item.error) refused.push(`${item.index}: ${item.error.code} at ${item.error.param ?? 'no place'}`);
    else if (item.status === 'scheduled') await client.emails.update(item.id, { scheduledAt: new Date('2030-01-02') });
    else refused.push(...(await client.emails.content(item.id)).headers.map(({ name }) => name));
  }
  const bill = { filename: 'bill.pdf', url: 'https://files.example.com/bill.pdf' };
  const { id } = await client.emails.send({ from: 'a@example.com', to: 'b@example.org', subject: 'Hi', text: 'Hello', attachments: [bill] });
  const events: Page<WebhookEvent> = await client.emails.events(id);
  const { status }: { status: 'cancelled' } = await client.emails.cancel(id);
  return events.length > 0 ? [...refused, status] : refused;
}

export async function walk(): Promise<string[]> {
  const emails: Page<Email> = await lettr.emails.list({ limit: 5, starting_after: 'email_1', status: 'delivered' });
  const subjects: string[] = emails.map((email) => email.subject);
  const first: Email | undefined = emails[0];
  const more: boolean = emails.hasMore && emails.totalCount > emails.data.length;
  for await (const email of client.emails.iterate({ to: 'ann@example.org' })) subjects.push(email.id);
  const next: Page<Email> | undefined = await emails.nextPage();
  return more && first !== undefined ? subjects : (next ?? []).map((email) => email.id);
}

export async function sendWithDefaults(someDefaults: EmailDefaults): Promise<Sealwright> {
  const shop = new Lettr(process.env['LETTR_API_KEY'], { defaults: { from: 'Shop <shop@example.com>', replyTo: 'help@example.com' } });
  await shop.emails.send({ to: 'ann@example.org', subject: 'Order 7', text: 'Thanks' });
  await shop.emails.send({ from: 'bills@example.com', to: 'ann@example.org', subject: 'Bill 7', text: 'Thanks' });
  const alarms = new Lettr('le_x', { defaults: { from: 'a@example.com', to: 'ops@example.com', subject: 'Alarm' } });
  await alarms.emails.send({ text: 'The disk is full' });
  await new Lettr('le_x', { defaults: someDefaults }).emails.send({ subject: 'Hi' });
  return shop;
}

export async function rotateAll(): Promise<string[]> {
  const { permissions, mode }: Caller = await client.me();
  const fresh: string[] = [];
  for await (const key of client.apiKeys.iterate({ limit: 100 })) {
    const due: ApiKey = await client.apiKeys.get(key.id);
    if (new Date(due.rotationDueAt) > new Date() || due.mode !== mode) continue;
    const { key: secret, previous } = await client.apiKeys.rotate(due.id, { overlap: 3600, name: `${due.name}, rotated` });
    await client.apiKeys.update(previous.id, { expiresAt: new Date(), rateLimit: { requests: 1, period: 'minute' } });
    fresh.push(secret);
  }
  if (!permissions.includes('settings:write')) return fresh;
  const settings: OrganizationSettings = await client.settings.update({ keyExposurePolicy: 'revoke', apiKeyMaxAgeDays: null });
  await client.secrets.reportExposed({ token: 'le_x', source: settings.keyExposurePolicy });
  return fresh;
}

export async function remove(id: string): Promise<boolean> {
  const { key } = await client.apiKeys.create({ name: 'CI', permissions: ['emails:send', 'a:permission-of-next-year'], ipRestrictions: ['192.0.2.0/24'] });
  try {
    return (await client.apiKeys.delete(id)).deleted && key !== '';
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof ForbiddenError) return false;
    if (error instanceof RateLimitError) return (error.retryAfter ?? 1) < 60;
    throw error;
  }
}

export async function endpoints(): Promise<string> {
  const created = await client.webhooks.create({ url: 'https://example.org/hook', events: ['email.*', 'domain.verified'] });
  const { deleted } = await client.webhooks.delete((await client.webhooks.get(created.id)).id);
  return deleted ? created.secret : '';
}

export async function publish(name: string): Promise<string> {
  const { id, dnsRecords } = await client.domains.create({ name });
  const wanted: DnsRecord[] = dnsRecords.filter(({ required }) => required);
  for await (const domain of client.domains.iterate({ status: 'failed' })) await client.domains.update(domain.id, { ed25519: false });
  const { verified, missingRecords } = await client.domains.verify(id);
  if (!verified) return missingRecords.map(({ host, advice }) => `${host}: ${advice ?? 'wait'}`).join('\n');
  await client.domains.rotateDkim(id);
  return wanted.length > 0 ? client.domains.dns(id) : '';
}

export async function bringAlong(csv: string): Promise<Suppression[]> {
  const { created, existing, refused }: SuppressionImport = await client.suppressions.importCsv(csv);
  if (created + existing === 0) throw new Error(refused.map(({ index, message }) => `${index}: ${message}`).join());
  const { type, reason } = await client.suppressions.create({ email: 'ann@example.org', type: 'unsubscribes' });
  await client.suppressions.import([{ email: 'bob@example.org', type, reason }]);
  if ((await client.suppressions.check('bob@example.org')).suppressed) await client.suppressions.delete('bob@example.org');
  for await (const { id } of client.suppressions.iterate({ type: 'manual' })) await client.suppressions.delete(id);
  const file: string = await client.suppressions.export({ format: 'csv' });
  return file === '' ? [] : client.suppressions.export({ type: 'complaints' });
}

export function receive(request: IncomingMessage, body: Buffer): string {
  const event: WebhookEvent = verifyWebhook(body, request.headers['lettr-signature'], process.env['WEBHOOK_SECRET']);
  switch (event.type) {
    case 'email.bounced':
      return event.data.bounceType === 'hard' ? event.data.bounceCategory : event.data.message;
    case 'domain.failed':
      return `${event.data.name} lacks ${event.data.missingRecords?.join() ?? 'nothing'}`;
    case 'suppression.created':
      return event.data.emailId ?? event.data.type;
    case 'email.sent':
      return event.data.to.join();
    default:
      return event.type satisfies WebhookEventType;
  }
}

export function explain(error: unknown): string {
  if (!(error instanceof SealwrightError)) return 'not ours';
  if (error.code === 'rate_limit_exceeded') return `wait ${error.retryAfter ?? 1} s`;
  return error.code === 'a_code_of_next_year' ? 'new' : (error.requestId ?? error.message);
}

export function mistakes(): void {
  // @ts-expect-error a message needs a recipient
  void client.emails.send({ from: 'a@example.com', subject: 'Hi', text: 'Hello' });
  // @ts-expect-error the field is called replyTo
  void client.emails.send({ from: 'a@example.com', to: 'b@example.com', subject: 'Hi', text: 'Hello', reply_to: 'c@example.com' });
  // @ts-expect-error a message keeps its subject
  void client.emails.update('email_1', { subject: 'Hello' });
  // @ts-expect-error an attachment has a content or a URL
  const nothing: AttachmentInput = { filename: 'bill.pdf' };
  // @ts-expect-error and not both
  const both: AttachmentInput = { filename: 'bill.pdf', content: nothing.content ?? '', url: 'https://files.example.com/bill.pdf' };
  void client.emails.send({ from: 'a@example.com', to: 'b@example.com', subject: 'Hi', text: 'x', attachments: [both] });
  // @ts-expect-error metadata is flat
  void client.emails.send({ from: 'a@example.com', to: 'b@example.com', subject: 'Hi', text: 'x', metadata: { user: { id: 1 } } });
  const withSender = new Sealwright('le_x', { defaults: { from: 'a@example.com' } });
  // @ts-expect-error the recipient is neither in the defaults nor here
  void withSender.emails.send({ subject: 'Hi', text: 'Hello' });
  // @ts-expect-error the defaults hold fields of a message
  void new Sealwright('le_x', { defaults: { sender: 'a@example.com' } });
  // @ts-expect-error no such period
  void client.apiKeys.create({ rateLimit: { requests: 1, period: 'day' } });
  // @ts-expect-error the mode of a key stays
  void client.apiKeys.update('key_1', { mode: 'test' });
  // @ts-expect-error no such status of a domain
  void client.domains.list({ status: 'bounced' });
  // @ts-expect-error domains are walked forward only
  void client.domains.list({ ending_before: 'dom_1' });
  // @ts-expect-error a domain keeps its name
  void client.domains.update('dom_1', { name: 'example.org' });
  // @ts-expect-error no such type
  void client.suppressions.create({ email: 'ann@example.org', type: 'bounces' });
  // @ts-expect-error no such format
  void client.suppressions.export({ format: 'xml' });
  // @ts-expect-error no such policy
  void client.settings.update({ keyExposurePolicy: 'shrug' });
  // @ts-expect-error a creation of a key has no idempotency key
  void client.apiKeys.create({}, { idempotencyKey: 'a' });
  // @ts-expect-error no such status
  void client.emails.list({ status: 'lost' });
  // @ts-expect-error iterate walks forward only
  void client.emails.iterate({ ending_before: 'email_1' });
  // @ts-expect-error the option is called baseUrl
  void new Sealwright('le_x', { baseURL: 'https://mail.example.com' });
  // @ts-expect-error a parsed body cannot be verified
  void verifyWebhook({ id: 'evt_1' }, 't=1,v1=0', 'whsec_x');
}
