// Compiled, never run: a program as an ES-module user writes it, and the mistakes the types have to catch.
import type { IncomingMessage } from 'node:http';
import { Lettr, Sealwright, SealwrightError, verifyWebhook } from 'sealwright';
import type { Email, EmailDraft, Page, WebhookEvent, WebhookEventType } from 'sealwright';

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

export async function walk(): Promise<string[]> {
  const emails: Page<Email> = await lettr.emails.list({ limit: 5, starting_after: 'email_1', status: 'delivered' });
  const subjects: string[] = emails.map((email) => email.subject);
  const first: Email | undefined = emails[0];
  const more: boolean = emails.hasMore && emails.totalCount > emails.data.length;
  for await (const email of client.emails.iterate({ to: 'ann@example.org' })) subjects.push(email.id);
  return more && first !== undefined ? subjects : [];
}

export async function endpoints(): Promise<string> {
  const created = await client.webhooks.create({ url: 'https://example.org/hook', events: ['email.*', 'domain.verified'] });
  const { deleted } = await client.webhooks.delete((await client.webhooks.get(created.id)).id);
  return deleted ? created.secret : '';
}

export function receive(request: IncomingMessage, body: Buffer): string {
  const event: WebhookEvent = verifyWebhook(body, request.headers['lettr-signature'], process.env['WEBHOOK_SECRET']);
  switch (event.type) {
    case 'email.bounced':
      return event.data.bounceType === 'hard' ? event.data.bounceCategory : event.data.message;
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
  // @ts-expect-error metadata is flat
  void client.emails.send({ from: 'a@example.com', to: 'b@example.com', subject: 'Hi', text: 'x', metadata: { user: { id: 1 } } });
  // @ts-expect-error no such status
  void client.emails.list({ status: 'lost' });
  // @ts-expect-error iterate walks forward only
  void client.emails.iterate({ ending_before: 'email_1' });
  // @ts-expect-error the option is called baseUrl
  void new Sealwright('le_x', { baseURL: 'https://mail.example.com' });
  // @ts-expect-error a parsed body cannot be verified
  void verifyWebhook({ id: 'evt_1' }, 't=1,v1=0', 'whsec_x');
}
