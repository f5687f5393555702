/* The end of every linear kernel: y = act(sum*factor + bias) + res for 8 columns of a row. */
#ifndef LLAVA_SP_EPILOGUE_H
#define LLAVA_SP_EPILOGUE_H
#include "math.h"

struct epilogue {
  float *y;
  const float *bias, *res;
  uint32_t ldy, ldres, n, act;
};

#define EPILOGUE(a) ((struct epilogue){(a)->y, (a)->bias, (a)->res, (a)->ldy, (a)->ldres, (a)->n, (a)->act})

/* Columns col..col+7 of row; sums[8] are the row's sums, each times factor. Out of line (kernels/epilogue.c): inlined ten times
 * it would make a kernel that engines compile slowly and spill more. */
void epilogue8(const struct epilogue *e, uint32_t row, uint32_t col, const float *sums, float factor);
#endif
