/** WebGPU's flags. Runtimes such as Node have the API without its globals, so core brings the numbers (W3C WebGPU, 5.2). */
export const BufferUsage = {
  MAP_READ: 0x0001,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  QUERY_RESOLVE: 0x0200,
} as const;

export const MAP_READ = 0x0001;
export const COMPUTE = 0x4;
