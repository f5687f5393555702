import { readFileSync } from 'node:fs';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import type { Tokenizer } from '../../packages/core/src/text/tokenizer.ts';

type Json = Record<string, unknown>;

export const goldenFolder = new URL('../golden/', import.meta.url);

export function readJson(url: URL): Json {
  return JSON.parse(readFileSync(url, 'utf8')) as Json;
}

/** The byte-level tokenizer of the golden models. */
export function byteLevelFiles(model = 'cropping'): { json: Json; config: Json } {
  return {
    json: readJson(new URL(`${model}/tokenizer.json`, goldenFolder)),
    config: readJson(new URL(`${model}/tokenizer_config.json`, goldenFolder)),
  };
}

const words = ['▁the', '▁red', '▁star', 'ing', '▁▁', 'é', '中', '▁[', '0.', '.5', ']', '▁a', ',', '!', '\n'];

/**
 * A small tokenizer of LLaMA's kind: no pre-tokenizer, spaces as U+2581, bytes where the vocabulary has no character.
 * `metaspace` has the newer spelling of the same rules.
 */
export function llamaFiles(kind: 'legacy' | 'metaspace'): { json: Json; config: Json } {
  const special = (content: string, id: number) => ({ id, content, special: true, normalized: true });
  const specials = ['<unk>', '<s>', '</s>', '<image>'];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const letters = [...'▁abcdefghijklmnopqrstuvwxyzABCDEGINRSTU<>/|:?.,!0123456789[]'];
  const pieces = new Set([...specials, ...bytes, ...letters, ...words]);
  const merges: [string, string][] = [];
  for (const word of words) {
    // Each word is reached by merging its characters from the left.
    const chars = [...word];
    for (let i = 1; i < chars.length; i++) {
      const pair: [string, string] = [chars.slice(0, i).join(''), chars[i]];
      if (pieces.has(chars[i])) merges.push(pair);
      pieces.add(pair.join(''));
    }
  }
  const vocab = Object.fromEntries([...pieces].map((piece, id) => [piece, id]));
  const replace = (from: string, to: string) => ({ type: 'Replace', pattern: { String: from }, content: to });
  const legacy = kind === 'legacy';
  const json = {
    version: '1.0',
    added_tokens: specials.map(special),
    normalizer: legacy
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace(' ', '▁')] }
      : null,
    pre_tokenizer: legacy
      ? null
      : { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: legacy
      ? {
          type: 'Sequence',
          decoders: [
            replace('▁', ' '),
            { type: 'ByteFallback' },
            { type: 'Fuse' },
            { type: 'Strip', content: ' ', start: 1, stop: 0 },
          ],
        }
      : { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: legacy, vocab, merges },
  };
  return { json, config: { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', add_bos_token: true } };
}

export function tokenizerOf({ json, config }: { json: Json; config: Json }): Tokenizer {
  return createTokenizer(json, config);
}

/** Seeded numbers in [0, 1), mulberry32; for tests only. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
