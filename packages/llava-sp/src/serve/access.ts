/** Who may ask: the host that a request names, its key, and the pages of other origins. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { hostname } from 'node:os';
import { ApiError } from './errors.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether only this machine reaches a server that listens there. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * A page can give its own name the address of this machine (DNS rebinding), and is of the same origin as the server then. Its
 * name still stands in the request.
 *
 * @param bound where the server listens.
 * @throws {ApiError} 403 for a name that is not the server's.
 */
export function checkHost(request: IncomingMessage, bound: string): void {
  const named = hostOf(request.headers.host ?? '');
  if (named === bound || isLoopback(named)) return;
  // No page's name can be an address.
  if (!isLoopback(bound) && (isIP(named) !== 0 || named === hostname().toLowerCase())) return;
  throw new ApiError(403, 'host_not_allowed', 'The request names a host that is not this server.');
}

function hostOf(header: string): string {
  const address = `http://${header}`;
  if (!/^[\w.[\]:-]+$/.test(header) || !URL.canParse(address)) return '';
  return new URL(address).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** Whether the request carries the key. */
export function hasKey(request: IncomingMessage, key: string): boolean {
  const [, given = ''] = /^Bearer +(.*)$/i.exec(request.headers.authorization ?? '') ?? [];
  // Hashes have one length: how long it takes tells nothing of the key.
  const [a, b] = [given, key].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(a, b);
}

/** @throws {ApiError} 401 unless the request carries the key. */
export function checkKey(request: IncomingMessage, key: string): void {
  if (hasKey(request, key)) return;
  throw new ApiError(
    401,
    'invalid_api_key',
    'The API key is missing or wrong. Send it as "Authorization: Bearer KEY".',
    {
      headers: { 'www-authenticate': 'Bearer' },
    },
  );
}

/** Lets pages of `origin` (or all, for `*`) read the answers. Gives whether the request only asked whether it may. */
export function allowOrigin(request: IncomingMessage, response: ServerResponse, origin: string): boolean {
  const { headers, method } = request;
  response.setHeader('vary', 'origin');
  if (headers.origin === undefined || (origin !== '*' && headers.origin !== origin)) return false;
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-expose-headers', 'retry-after, x-request-id');
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false;
  const asked = headers['access-control-request-headers'] ?? '';
  response.writeHead(204, {
    'access-control-allow-methods': 'GET, POST',
    // OpenAI's client sends a dozen of its own.
    ...(/^[\w, -]+$/.test(asked) ? { 'access-control-allow-headers': asked } : {}),
    ...(headers['access-control-request-private-network']
      ? { 'access-control-allow-private-network': 'true' }
      : {}),
    'access-control-max-age': '600',
  });
  response.end();
  return true;
}
