/**
 * What an answer may say: a regular expression that the whole answer matches, a JSON schema that it is valid by, texts of which
 * it is one, or words among which all brackets are boxes (`[0.12, 0.30, 0.45, 0.90]` in 0..1, or InternVL's
 * `<box>[[120, 300, 450, 900]]</box>` in thousandths), as `model.ground` asks. An answer that `maxTokens` or a stop string cuts
 * short may be only the beginning of such a text.
 */
export type Format =
  | {
      /** That the whole answer matches; written as in JavaScript, between no slashes. */
      readonly regex: string;
    }
  | {
      /** That the answer, which is JSON, is valid by. */
      readonly jsonSchema: object;
    }
  | {
      /** Of which the answer is one. */
      readonly choices: readonly string[];
    }
  | {
      /** How the boxes among the words are written. */
      readonly boxes: 'unit' | 'thousandths';
    };
