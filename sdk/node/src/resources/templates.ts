import { checkCallOptions, pathId, requireObject } from '../arguments.js';
import type { CallOptions } from '../arguments.js';
import { iterate, readPage } from '../page.js';
import type { Page, PageQuery } from '../page.js';
import type { Transport } from '../transport.js';

/** Values for a template, by name; of any kind that JSON has. */
export type Variables = Record<string, unknown>;

/** What a template says, in parts. */
export interface TemplateParts {
  subject?: string | undefined;
  /** This or `text` is needed. */
  html?: string | undefined;
  /** Derived from `html` when mail is sent, if absent. */
  text?: string | undefined;
  /** For readers that run AMP, beside `html`. */
  amp?: string | undefined;
}

/** A template to be made. */
export interface TemplateDraft extends TemplateParts {
  name: string;
}

/** What is to change; a new part makes a new version, `null` takes a part away. */
export interface TemplateChange {
  name?: string | undefined;
  /** A version that is to be the active one again. */
  activeVersion?: number | undefined;
  subject?: string | null | undefined;
  html?: string | null | undefined;
  text?: string | null | undefined;
  amp?: string | null | undefined;
}

/** A template. */
export interface Template {
  id: string;
  object: 'template';
  name: string;
  /** The version that mail is made from. */
  activeVersion: number;
  createdAt: string;
  updatedAt: string;
}

/** A version of a template. */
export interface TemplateVersion {
  version: number;
  createdAt: string;
}

/** A template with what its active version says. */
export interface TemplateDetail extends Template {
  /** `null` when there is no such part. */
  subject?: string | null;
  html?: string | null;
  text?: string | null;
  amp?: string | null;
  /** Names of the values that it uses. */
  variables: string[];
  /** The versions that are kept, latest first. */
  versions: TemplateVersion[];
}

/** What mail made from a template would say. */
export interface Rendering {
  object: 'rendering';
  subject?: string | null;
  html?: string | null;
  text?: string | null;
  amp?: string | null;
}

/** The answer to a deletion. */
export interface DeletedTemplate {
  id: string;
  object: 'template';
  deleted: true;
}

/** Narrows a list of templates; it is walked forward only. */
export type TemplateQuery = Omit<PageQuery, 'ending_before'>;

/** `client.templates`; a test key reads and tries templates, a live key changes them. */
export class Templates {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a template. Not repeated after a lost connection: there would be two. */
  async create(draft: TemplateDraft, options: CallOptions = {}): Promise<Template> {
    requireObject(draft, 'templates.create', 'draft');
    checkCallOptions(options, 'templates.create');
    const request = { method: 'POST', path: '/v1/templates', body: draft, isRepeatable: false, ...options } as const;
    return (await this.#transport.request(request)) as Template;
  }

  /** Reads a template with what its active version says. */
  async get(id: string, options: CallOptions = {}): Promise<TemplateDetail> {
    checkCallOptions(options, 'templates.get');
    const path = `/v1/templates/${pathId(id, 'templates.get')}`;
    return (await this.#transport.request({ method: 'GET', path, isRepeatable: true, ...options })) as TemplateDetail;
  }

  /** Reads one page of templates, newest first. */
  async list(query: TemplateQuery = {}, options: CallOptions = {}): Promise<Page<Template>> {
    requireObject(query, 'templates.list', 'query');
    checkCallOptions(options, 'templates.list');
    const route = { method: 'GET', path: '/v1/templates', isRepeatable: true, ...options } as const;
    return readPage<Template, TemplateQuery>((page) => this.#transport.request({ ...route, query: { ...page } }), query);
  }

  /** Walks all templates, newest first; `limit` is the size of a page. */
  iterate(query: TemplateQuery = {}, options: CallOptions = {}): AsyncGenerator<Template, void, undefined> {
    return iterate((page: TemplateQuery) => this.list(page, options), query);
  }

  /** Changes a template. What it says already makes no new version, so a change may be done twice. */
  async update(id: string, change: TemplateChange, options: CallOptions = {}): Promise<Template> {
    requireObject(change, 'templates.update', 'change');
    checkCallOptions(options, 'templates.update');
    const path = `/v1/templates/${pathId(id, 'templates.update')}`;
    return (await this.#transport.request({ method: 'PATCH', path, body: change, isRepeatable: true, ...options })) as Template;
  }

  /** Deletes a template; mail that was made from it stays. Not repeated after a lost connection. */
  async delete(id: string, options: CallOptions = {}): Promise<DeletedTemplate> {
    checkCallOptions(options, 'templates.delete');
    const path = `/v1/templates/${pathId(id, 'templates.delete')}`;
    return (await this.#transport.request({ method: 'DELETE', path, isRepeatable: false, ...options })) as DeletedTemplate;
  }

  /** Writes a template with values, and sends nothing. */
  async render(id: string, variables: Variables = {}, options: CallOptions = {}): Promise<Rendering> {
    requireObject(variables, 'templates.render', 'variables');
    checkCallOptions(options, 'templates.render');
    const path = `/v1/templates/${pathId(id, 'templates.render')}/render`;
    return (await this.#transport.request({ method: 'POST', path, body: { variables }, isRepeatable: true, ...options })) as Rendering;
  }
}
