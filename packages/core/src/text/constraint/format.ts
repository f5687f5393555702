/**
 * What an answer may say: a regular expression that the whole answer matches, a JSON schema that it is valid by, or texts of which
 * it is one. An answer that `maxTokens` or a stop string cuts short may be only the beginning of such a text.
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
    };
