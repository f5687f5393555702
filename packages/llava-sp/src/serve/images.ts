/** The picture of a request: bytes in a data address, or, where it is allowed, an address to fetch. */
import { lookup as resolve } from 'node:dns';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { Take } from './body.ts';
import { ApiError, invalid } from './errors.ts';

/** Which http(s) addresses the server fetches pictures from: none, those of the public internet, or any. */
export type RemoteImages = 'none' | 'public' | 'any';

/** Milliseconds for a picture to come, redirects included. */
const FETCH_TIME = 20_000;
const MAX_REDIRECTS = 3;
const PARAM = 'messages';

/**
 * @param address as in `image_url.url`.
 * @param take hears of the bytes of a picture that is fetched, as they come.
 * @throws {ApiError} 400 saying why it is refused, or what went wrong; 429 when there is no room for it.
 */
export async function readImage(
  address: string,
  remote: RemoteImages,
  limit: number,
  take: Take,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (/^data:/i.test(address)) return fromData(address);
  if (!/^https?:/i.test(address)) {
    throw invalid(
      PARAM,
      'image_url.url must be a data: address, as "data:image/png;base64,...".',
      'invalid_image_url',
    );
  }
  if (remote === 'none') {
    throw invalid(
      PARAM,
      'This server fetches no pictures. Send a data: address, or start it with --allow-http-images.',
      'image_url_not_allowed',
    );
  }
  const time = AbortSignal.timeout(FETCH_TIME);
  try {
    return await fetchPicture(address, remote, limit, take, AbortSignal.any([signal, time]));
  } catch (cause) {
    if (cause instanceof Refused) throw cause.error;
    if (cause instanceof ApiError) throw cause;
    const why = time.aborted ? `it took more than ${FETCH_TIME / 1000} s` : 'the address gives none';
    throw invalid(PARAM, `The picture can't be fetched: ${why}.`, 'image_fetch_failed');
  }
}

function fromData(address: string): Uint8Array {
  const comma = address.indexOf(',');
  const head = address.slice(0, Math.max(0, comma));
  const data = address.slice(comma + 1);
  const form = /^data:image\/[\w.+-]+(;[\w=.+-]+)*;base64$/i.test(head);
  if (!form || data === '' || !/^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
    throw invalid(
      PARAM,
      'A data: address must be data:image/TYPE;base64, and base64 behind it.',
      'invalid_image_url',
    );
  }
  return Buffer.from(data, 'base64');
}

/** Carries an ApiError through callbacks of the network's. */
class Refused extends Error {
  readonly error: ApiError;
  constructor(message: string) {
    super(message);
    this.error = invalid(PARAM, message, 'image_url_not_allowed');
  }
}

async function fetchPicture(
  address: string,
  remote: RemoteImages,
  limit: number,
  take: Take,
  signal: AbortSignal,
): Promise<Uint8Array> {
  let url = checked(address, remote);
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await get(url, remote, signal);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 300 && statusCode < 400 && headers.location) {
      response.destroy();
      url = checked(new URL(headers.location, url).href, remote);
      continue;
    }
    if (statusCode !== 200) {
      response.destroy();
      throw new Refused(`The picture can't be fetched: its server answers ${statusCode}.`);
    }
    return collect(response, limit, take);
  }
  throw new Refused(`The picture can't be fetched: more than ${MAX_REDIRECTS} redirects.`);
}

function checked(address: string, remote: RemoteImages): URL {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw new Refused('The picture is at no http(s) address that can be used.');
  }
  // Names are checked when they are looked up; an address given in digits never is.
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (remote === 'public' && isIP(host) && !isPublic(host)) throw new Refused(PRIVATE);
  return url;
}

function get(url: URL, remote: RemoteImages, signal: AbortSignal): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((done, fail) => {
    const lookup = remote === 'public' ? { lookup: publicLookup } : {};
    const outgoing = request(url, { ...lookup, agent: false, signal, headers: { accept: 'image/*' } });
    outgoing.on('response', done);
    outgoing.on('error', fail);
    outgoing.end();
  });
}

async function collect(response: IncomingMessage, limit: number, take: Take): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) throw new Refused(`The picture has more than ${limit} bytes.`);
    take(part.length);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const PRIVATE = 'The picture is at an address that is not public; --allow-private-images allows those.';

/** Looks a name up, and refuses it when any of its addresses is not public: the connection goes to what was checked. */
const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublic(address))) {
      return callback(new Refused(PRIVATE), []);
    }
    if (options.all) callback(null, addresses);
    else callback(null, addresses[0].address, addresses[0].family);
  });
};

/** What IANA's registries of special-purpose addresses list, multicast, and IPv6 that wraps IPv4. */
const SPECIAL = [
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
  '192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3',
].flatMap((line) => line.split(' '));
/** Only what is handed out to the public is public: 2000::/3, without these. */
const SPECIAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const special = new BlockList();
for (const range of SPECIAL) addRange(special, range, 'ipv4');
for (const range of SPECIAL_V6) addRange(special, range, 'ipv6');
const global = new BlockList();
addRange(global, '2000::/3', 'ipv6');

function addRange(list: BlockList, range: string, family: 'ipv4' | 'ipv6'): void {
  const [network, prefix] = range.split('/');
  list.addSubnet(network, Number(prefix), family);
}

/** Whether an IP address is one of the public internet. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !special.check(address, 'ipv4');
  if (isIP(address) !== 6 || address.includes('%')) return false;
  return global.check(address, 'ipv6') && !special.check(address, 'ipv6');
}
