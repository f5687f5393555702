/** Left out of captions by the COCO evaluation. */
const PUNCTUATION: ReadonlySet<string> = new Set("'' ' ` . ? ! , : - -- ... ;".split(' '));

/** Brackets have names, which the COCO evaluation means to leave out, but not in lower case. */
const BRACKETS: ReadonlyMap<string, string> = new Map(
  [...'()[]{}'].map((mark, i) => [mark, `-${['lrb', 'rrb', 'lsb', 'rsb', 'lcb', 'rcb'][i]}-`]),
);

const inner = String.raw`(?:[-/@_.]|(?<=\d)[,:](?=\d))`;
const word = String.raw`[\p{L}\p{N}]+`;
const end = String.raw`(?![\p{L}\p{N}])`;

/** The longest first where one begins another. */
const TOKEN = new RegExp(
  [
    String.raw`\.{2,}|-{2,}|[!?]+`,
    // Abbreviations keep their dot.
    String.raw`(?:\p{L}\.){2,}`,
    String.raw`(?:mr|mrs|ms|dr|st|vs|jr|sr|no(?=\.\s*\d))\.`,
    // The first half of isn't, cannot, gonna.
    String.raw`\p{L}+?(?=n't${end})|can(?=not${end})|(?:gim|lem)(?=me${end})|(?:gon|wan)(?=na${end})|got(?=ta${end})`,
    String.raw`n't${end}|'(?:s|m|d|ll|re|ve)${end}|'n'`,
    String.raw`${word}(?:${inner}${word})*(?:\+\+)?`,
    String.raw`[^\s]`,
  ].join('|'),
  'gu',
);

/**
 * A caption's words, as the COCO evaluation takes them: Penn Treebank tokens in lower case without punctuation. This is the part of the
 * Stanford tokenizer that captions need. It knows few abbreviations, no addresses and no emoticons.
 */
export function captionTokens(text: string): string[] {
  const plain = text
    .toLowerCase()
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[\u201c\u201d"]/g, ' ')
    .replace(/[\u2013\u2014]/g, ' -- ')
    .replaceAll('\u2026', ' ... ');
  return [...plain.matchAll(TOKEN)]
    .map(([token]) => BRACKETS.get(token) ?? (/^\.+$/.test(token) ? '.' : token))
    .filter((token) => !PUNCTUATION.has(token));
}
