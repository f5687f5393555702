/** The entry in Deno of `runInDeno`: imports a module, calls its default export and prints the result. */
const [module] = Deno.args;
const input: unknown = await new Response(Deno.stdin.readable).json();
const { default: run } = (await import(module)) as { default: (input: unknown) => Promise<unknown> };
const result = await run(input);
console.log(`\n${JSON.stringify({ result })}`);
