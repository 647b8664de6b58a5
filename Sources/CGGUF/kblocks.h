#ifndef LF_GGUF_KBLOCKS_H
#define LF_GGUF_KBLOCKS_H

#include <stdint.h>

enum { LF_SUPERBLOCK = 256 };

/// Q4_K and Q5_K: eight groups of 32 weights, each with a scale and a least weight of six bits, which two halves scale again.
void lf_encode_ranged_superblock(const float *x, int bits, uint8_t *out);
void lf_decode_ranged_superblock(const uint8_t *in, int bits, float *x);

/// Q6_K: sixteen groups of 16 weights, each with a scale of eight bits, which one half scales again.
void lf_encode_centred_superblock(const float *x, uint8_t *out);
void lf_decode_centred_superblock(const uint8_t *in, float *x);

#endif
