// y[r, o] = act(sum_k x[r, k] W[o, k] + bias[o]) + residual[r, o] for many rows of x; x [rows, k], W [n, k], y [rows, n].
// A workgroup makes TM x TN of y: workgroup (o / TN, r / TM).
// tile, tile_f16: 256 invocations of 4 x 4 outputs over tiles in workgroup memory (16 KiB; f16: 8.5 KiB), for real GPUs.
// f16 holds x and W (codes exactly) in f16 and sums in f32. block: TM x 8 outputs an invocation, nothing shared and no
// barrier, for adapters that run on a processor.
#include "shared/gemm_finish.wgsl"
#if ARITH == block
#include "shared/gemm_block.wgsl"
#else
#include "shared/gemm_tile.wgsl"
#endif
