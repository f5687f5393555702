/**
 * What an answer may say: a regular expression that the whole answer matches, a JSON schema that it is valid by, or texts of which
 * it is one. An answer that `maxTokens` or a stop string cuts short may be only the beginning of such a text.
 */
export type Format =
  { readonly regex: string } | { readonly jsonSchema: object } | { readonly choices: readonly string[] };
