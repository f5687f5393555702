/** A model of a hub in the Hugging Face layout: `{endpoint}/{owner}/{name}/resolve/{revision}/{file}`. */
export interface HubSource {
  /** `owner/name`. */
  readonly hub: string;
  /** A branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** Another hub; by default the environment's `HF_ENDPOINT`, where there is one, or the Hugging Face hub. */
  readonly endpoint?: string;
}

/** Files of one model folder as a file dialog, a drop or `fs.openAsBlob` gives them: a list, or Blobs by name. */
export type FileSource = readonly File[] | ReadonlyMap<string, Blob> | Readonly<Record<string, Blob>>;

/** Files of one model folder by name, each at an address of its own, as bundlers give them. */
export type UrlSource = Readonly<Record<string, URL>>;

/**
 * Where a model is: a folder by path or file: URL, the http(s) address of one, a hub's model (`hub:owner/name@revision`, or
 * {@link HubSource}), files at hand, or the address of each file.
 */
export type ModelSource = string | URL | HubSource | FileSource | UrlSource;

export const HUB_PREFIX = 'hub:';

/** Whether a source is reached by http: an address, or a hub's model. */
export function isRemote(source: unknown): source is string | URL | HubSource {
  if (typeof source === 'string') return source.startsWith(HUB_PREFIX) || /^https?:/i.test(source);
  if (source instanceof URL) return /^https?:$/.test(source.protocol);
  return typeof source === 'object' && source !== null && typeof (source as HubSource).hub === 'string';
}

/** Whether a source is the addresses of files by name. */
export function isUrls(source: unknown): source is UrlSource {
  if (typeof source !== 'object' || source === null || Array.isArray(source) || source instanceof Map)
    return false;
  const addresses: unknown[] = Object.values(source);
  return addresses.length > 0 && addresses.every((address) => address instanceof URL);
}
