import { ArgumentError } from '../errors/index.ts';
import { HUB_PREFIX, type HubSource } from './source.ts';

/** A folder of files behind http. */
export interface Remote {
  /** What the model is called in the cache and in messages: without query, so that no secret gets there. */
  readonly name: string;
  /** Of a file at a revision; `null` is the one that was asked for. */
  address(file: string, commit: string | null): string;
  /** Where a token may be sent. */
  readonly origin: string;
  /** The commit of a hub that the source itself names. */
  readonly commit: string | null;
  /** The environment's token is meant for this place. */
  readonly environmentToken: boolean;
}

type Environment = (name: 'HF_ENDPOINT' | 'HF_TOKEN') => string | undefined;

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const HUB_TEXT = /^([^@]+)(?:@(.+))?$/;
const HUB_ID = /^(?!.*\.\.)[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
/** Branches may hold slashes, and nothing may leave the model. */
const REVISION = /^(?!.*\.\.)[A-Za-z0-9][\w./+-]*$/;
const COMMIT = /^[0-9a-f]{40}$/;

/**
 * The addresses of a source that is reached by http.
 *
 * @throws {ArgumentError} `OPTION_INVALID`; messages name no query, user or password.
 */
export function parseRemote(source: string | URL | HubSource, environment?: Environment): Remote {
  if (typeof source === 'object' && 'hub' in source) return parseHub(source, environment);
  const text = String(source);
  if (text.startsWith(HUB_PREFIX)) {
    const [, hub = '', revision] = HUB_TEXT.exec(text.slice(HUB_PREFIX.length)) ?? [];
    return parseHub({ hub, revision }, environment);
  }
  const base = parseAddress(text, 'The address of the model');
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const { origin } = base;
  return {
    name: `${origin}${base.pathname}`,
    address: (file) => withPath(base, file),
    origin,
    commit: null,
    environmentToken: false,
  };
}

function parseHub({ hub, revision = 'main', endpoint }: HubSource, environment?: Environment): Remote {
  if (!HUB_ID.test(hub)) throw invalid(`The hub's model is ${show(hub)}`, 'Pass it as owner/name.');
  if (typeof revision !== 'string' || !REVISION.test(revision)) {
    throw invalid(`The revision is ${show(revision)}`, 'Pass a branch, a tag or a commit.');
  }
  const usual = environment?.('HF_ENDPOINT') || DEFAULT_ENDPOINT;
  const base = parseAddress(endpoint ?? usual, 'The endpoint of the hub');
  base.pathname = `${base.pathname.replace(/\/+$/, '')}/${hub}/resolve/`;
  const place = base.origin === new URL(DEFAULT_ENDPOINT).origin ? '' : ` (${base.host})`;
  return {
    name: `${hub}@${revision}${place}`,
    address: (file, commit) => withPath(base, `${encodeURIComponent(commit ?? revision)}/${file}`),
    origin: base.origin,
    commit: COMMIT.test(revision) ? revision : null,
    // A place that the program names may be anybody's; one of the user's environment is the user's choice.
    environmentToken: endpoint === undefined,
  };
}

function parseAddress(text: string, what: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid(`${what} is not a URL`, 'Pass it as https://host/folder.');
  }
  if (!/^https?:$/.test(url.protocol))
    throw invalid(`${what} is a ${url.protocol} URL`, 'Pass an https URL.');
  if (url.username || url.password) {
    throw invalid(`${what} holds a user or a password`, 'Leave them out; pass a token by the option.');
  }
  url.hash = '';
  return url;
}

/** The query stays: addresses may be signed. */
function withPath(base: URL, path: string): string {
  const url = new URL(base);
  url.pathname += path;
  return url.href;
}

function invalid(what: string, fix: string): ArgumentError {
  return new ArgumentError({ code: 'OPTION_INVALID', message: `${what}; that can't be loaded.`, fix });
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : typeof value;
}
