#ifndef LF_CGGUF_H
#define LF_CGGUF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The number of weights that one block of a GGUF element type holds, and its bytes; 0 for a type that is not written here.
///
/// Types are those of GGUF's tensor table: 0 F32, 1 F16, 2 Q4_0, 3 Q4_1, 6 Q5_0, 7 Q5_1, 8 Q8_0, 12 Q4_K, 13 Q5_K, 14 Q6_K, 30 BF16.
size_t lf_gguf_block_weights(uint32_t type);
size_t lf_gguf_block_bytes(uint32_t type);

/// Turns `count` finite weights, a whole number of blocks, into the bytes of a type.
///
/// Sums, products and quotients are single IEEE float32 operations in a fixed order, so the bytes are the same on every processor.
void lf_gguf_encode(uint32_t type, const float *weights, size_t count, uint8_t *bytes);

/// The weights that such bytes stand for.
void lf_gguf_decode(uint32_t type, const uint8_t *bytes, size_t count, float *weights);

/// Adds to `loss` the squared distance of what the bytes stand for from the weights, and to `size` the weights' squares.
///
/// A weight, or what stands for it, that is infinite or not a number makes them so.
void lf_gguf_compare(
    uint32_t type, const float *weights, size_t count, const uint8_t *bytes, double *loss, double *size);

#ifdef __cplusplus
}
#endif

#endif
