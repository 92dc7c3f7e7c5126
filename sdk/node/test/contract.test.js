'use strict';

// The package against the server's own documents: words that it does not know, or that nobody else knows, are found here.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');
const ts = require('typescript');
const errors = require('sealwright');
const { errorClass } = require('../dist/errors.js');

const ROOT = path.join(__dirname, '..');
const DOCS = path.join(ROOT, '..', '..', 'docs');
const { paths, components } = JSON.parse(fs.readFileSync(path.join(DOCS, 'openapi.json'), 'utf8'));
const PROGRAM = ts.createProgram([path.join(ROOT, 'dist', 'index.d.ts')], { strict: true, types: ['node'] });
const CHECKER = PROGRAM.getTypeChecker();

/** A type that the package exports. */
function exported(name) {
  const module = CHECKER.getSymbolAtLocation(PROGRAM.getSourceFile(path.join(ROOT, 'dist', 'index.d.ts')));
  const symbol = CHECKER.getExportsOfModule(module).find((each) => each.name === name);
  const type = CHECKER.getDeclaredTypeOfSymbol(symbol.flags & ts.SymbolFlags.Alias ? CHECKER.getAliasedSymbol(symbol) : symbol);
  assert.ok(!(type.flags & ts.TypeFlags.Any), `${name} has no type`);
  return type;
}

/** The texts that a union of literals admits; `string & {}`, which admits any, is left out. */
function words(name) {
  const type = exported(name);
  return (type.isUnion() ? type.types : [type]).filter((each) => each.isStringLiteral()).map((each) => each.value).sort();
}

function fields(name) {
  return CHECKER.getPropertiesOfType(exported(name)).map((field) => field.name).sort();
}

/** The words of a list in the server's document. */
function told(name) {
  const schema = components.schemas[name];
  return [...(schema.enum ?? schema.oneOf.map((each) => each.const))].sort();
}

/** Each code of docs/errors.md with the status that its section begins with. */
const EXPLAINED = [...fs.readFileSync(path.join(DOCS, 'errors.md'), 'utf8').matchAll(/^## (\w+)\n\n(\d{3})\b/gm)].map(
  ([, code, status]) => ({ code, status: Number(status) }),
);

describe('the words of the server are those of the package', () => {
  const same = {
    RefusalCode: 'ServerErrorCode', Permission: 'Permission', Mode: 'KeyMode', KeyExposurePolicy: 'KeyExposurePolicy', WebhookStatus: 'WebhookStatus',
    DomainStatus: 'DomainStatus', ReputationStatus: 'ReputationStatus', DnsRecordType: 'DnsRecordType', DnsRecordPurpose: 'DnsRecordPurpose', DnsRecordStatus: 'DnsRecordStatus',
    SuppressionType: 'SuppressionType', RelayProvider: 'RelayProvider', RelayStatus: 'RelayStatus', DomainRoute: 'DomainRoute',
    TlsDemand: 'TlsDemand', EmailStream: 'EmailStream', WebhookDeliveryStatus: 'WebhookDeliveryStatus',
    WebhookDisabledReason: 'WebhookDisabledReason', WebhookMinTls: 'WebhookMinTls',
  };
  for (const [theirs, ours] of Object.entries(same)) {
    test(`${theirs} is ${ours}`, () => assert.deepEqual(words(ours), told(theirs)));
  }

  // The package has types for what later versions of the server will say.
  const known = { EventType: 'WebhookEventType', EventPattern: 'EventPattern', EmailStatus: 'EmailStatus', BounceCategory: 'BounceCategory' };
  for (const [theirs, ours] of Object.entries(known)) {
    test(`${ours} knows each ${theirs}`, () => {
      const unknown = told(theirs).filter((word) => !words(ours).includes(word));
      assert.deepEqual(unknown, []);
      assert.ok(told(theirs).length > 5);
    });
  }
});

test('queries of lists ask for what the server takes', () => {
  // Not yet taken by the server.
  const waiting = { EmailQuery: ['metadata'], DomainQuery: [], RelayQuery: [], SuppressionQuery: [], SuppressionExportQuery: [], TemplateQuery: [], WebhookQuery: [], WebhookDeliveryQuery: [], PageQuery: [], UsageQuery: [] };
  const routes = {
    EmailQuery: '/v1/emails', DomainQuery: '/v1/domains', RelayQuery: '/v1/relays', WebhookQuery: '/v1/webhooks', WebhookDeliveryQuery: '/v1/webhooks/{id}/deliveries', PageQuery: '/v1/api-keys',
    TemplateQuery: '/v1/templates', SuppressionQuery: '/v1/suppressions', SuppressionExportQuery: '/v1/suppressions/export',
    UsageQuery: '/v1/usage',
  };
  for (const [name, route] of Object.entries(routes)) {
    const taken = paths[route].get.parameters.filter((each) => each.in === 'query').map((each) => each.name);
    assert.deepEqual(fields(name), [...taken, ...waiting[name]].sort(), name);
  }
});

describe('types have the fields of the document, and may lack those that the document lets be absent', () => {
  const types = {
    Domain: 'Domain', DnsRecord: 'DnsRecord', Verification: 'DomainVerification', DomainReputation: 'DomainReputation', ReputationPeriod: 'ReputationPeriod', NewDomain: 'DomainDraft', DomainChange: 'DomainChange',
    Suppression: 'Suppression', NewSuppression: 'SuppressionDraft', SuppressionCheck: 'SuppressionCheck',
    SuppressionImport: 'SuppressionImport', RefusedSuppression: 'RefusedSuppression', Deleted: 'DeletedSuppression',
    Template: 'Template', TemplateDetail: 'TemplateDetail', TemplateVersion: 'TemplateVersion', NewTemplate: 'TemplateDraft',
    TemplateChange: 'TemplateChange', Rendering: 'Rendering', OwnEmail: 'OwnEmail', NewEmail: 'EmailDraft',
    EmailChange: 'EmailChange', CancelledEmail: 'CancelledEmail', EmailContent: 'EmailContent', HeaderField: 'HeaderField', Brief: 'BatchRefusal',
    Usage: 'UsageReport', UsageDay: 'UsageDay',
    Webhook: 'Webhook', NewWebhook: 'WebhookDraft', WebhookChange: 'WebhookChange', WebhookAuth: 'WebhookAuth', WebhookSecret: 'WebhookSecret',
    SecretRotation: 'SecretRotation', WebhookDelivery: 'WebhookDelivery', WebhookAttempt: 'WebhookAttempt', WebhookSent: 'WebhookSent',
    Relay: 'Relay', NewRelay: 'RelayDraft', RelayChange: 'RelayChange', RelayCredentials: 'RelayCredentials', RelayTest: 'RelayTest',
    AcceptedEmail: 'SentEmail', AttachmentField: 'AttachmentInput',
  };
  for (const [theirs, ours] of Object.entries(types)) {
    test(`${theirs} is ${ours}`, () => {
      const { properties, required = [] } = components.schemas[theirs];
      assert.deepEqual(fields(ours), Object.keys(properties).sort());
      const always = CHECKER.getPropertiesOfType(exported(ours)).filter((field) => !(field.flags & ts.SymbolFlags.Optional));
      assert.deepEqual(always.map((field) => field.name).sort(), [...required].sort());
    });
  }
});

describe('errors', () => {
  test('are explained, each code of the server once', () => {
    assert.deepEqual(EXPLAINED.map(({ code }) => code).sort(), told('RefusalCode'));
  });

  test('have a class of their own kind for each code', () => {
    const kinds = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 409: 'Conflict', 429: 'RateLimit' };
    for (const { code, status } of EXPLAINED) {
      const kind = kinds[status] ?? (status < 500 ? 'InvalidRequest' : 'Server');
      const error = new (errorClass(status))(code, 'for the test', { status });
      assert.ok(error instanceof errors[`${kind}Error`] && error instanceof errors.SealwrightError, `${code} gives ${error.name}`);
      assert.equal(error.name, `${kind}Error`);
    }
  });

  test('that the README names exist', () => {
    const text = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
    const named = new Set([...text.matchAll(/`([a-z]+(?:_[a-z]+)+)`|code === '(\w+)'/g)].map(([, quoted, compared]) => quoted ?? compared));
    assert.ok(named.size >= 4, [...named].join());
    const codes = [...words('ServerErrorCode'), ...words('ClientErrorCode')];
    assert.deepEqual([...named].filter((code) => !codes.includes(code)), []);
  });
});
