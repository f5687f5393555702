/** VQA accuracy with the normalisation of the VQA challenge's server (EvalAI), as LLaVA's own scorers have it. */

const NUMBERS: ReadonlyMap<string, string> = new Map([
  ['none', '0'],
  ...['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'].map(
    (word, digit) => [word, String(digit)] as const,
  ),
]);
const ARTICLES: ReadonlySet<string> = new Set(['a', 'an', 'the']);
const PUNCTUATION = [...';/[]"{}()=+\\_-><@`,?!'];

/** Each is also recognised without one of its apostrophes. The list is the server's: what it lacks (she's, I'm) stays as it is. */
const CONTRACTIONS = `ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
  how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at
  shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's
  something'd something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't
  we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
  won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've`;

const apostrophes: ReadonlyMap<string, string> = new Map([
  ...CONTRACTIONS.split(/\s+/).flatMap((word) =>
    [...word.matchAll(/'/g)].map(
      ({ index }) => [word.slice(0, index) + word.slice(index + 1), word] as const,
    ),
  ),
  // The server's own, the wrong way round.
  ["somebody'd", 'somebodyd'],
]);

/** An answer as it is compared: lower case, without punctuation and articles, number words as digits, contractions with apostrophes. */
export function normaliseAnswer(answer: string): string {
  const lower = answer
    .toLowerCase()
    .replace(/[,?]/g, '')
    .replaceAll("'s", " 's")
    .trim()
    .replace(/[\n\t]/g, ' ');
  let text = lower;
  // A mark that touches a space anywhere goes without leaving one.
  for (const mark of PUNCTUATION) {
    const loose = lower.includes(`${mark} `) || lower.includes(` ${mark}`);
    text = text.replaceAll(mark, loose ? '' : ' ');
  }
  return text
    .replace(/\.(?!\d)/g, '')
    .split(/\s+/)
    .map((word) => NUMBERS.get(word) ?? word)
    .filter((word) => word !== '' && !ARTICLES.has(word))
    .map((word) => apostrophes.get(word) ?? word)
    .join(' ');
}

/**
 * In 0..1. One true answer: equal or not. Several: min(n / 3, 1) for n people who said the same, averaged over all choices of all
 * but one of them, as the challenge does.
 */
export function vqaAccuracy(answer: string, truths: readonly string[]): number {
  const said = normaliseAnswer(answer);
  const same = truths.filter((truth) => normaliseAnswer(truth) === said).length;
  const n = truths.length;
  if (n === 1) return same;
  return (same * Math.min((same - 1) / 3, 1) + (n - same) * Math.min(same / 3, 1)) / n;
}
