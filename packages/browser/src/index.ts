/** LLaVA-SP in browsers. */
export {};
