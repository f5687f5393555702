/* The import by which workers swap what they computed: JavaScript copies this worker's block of the stage out, waits for all,
 * and copies everybody's back in. */
#ifndef LLAVA_SP_EXCHANGE_H
#define LLAVA_SP_EXCHANGE_H
#include "simd.h"

__attribute__((import_module("env"), import_name("exchange"))) void exchange(uint32_t slot);
#endif
