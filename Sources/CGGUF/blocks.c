#include "CGGUF.h"
#include "kblocks.h"
#include "numbers.h"

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

enum { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30 };
enum { SIMPLE = 32, HALF = 16 };

size_t lf_gguf_block_weights(uint32_t type) {
    switch (type) {
        case F32: case F16: case BF16: return 1;
        case Q4_0: case Q4_1: case Q5_0: case Q5_1: case Q8_0: return SIMPLE;
        case Q4_K: case Q5_K: case Q6_K: return LF_SUPERBLOCK;
        default: return 0;
    }
}

size_t lf_gguf_block_bytes(uint32_t type) {
    switch (type) {
        case F32: return 4;
        case F16: case BF16: return 2;
        case Q4_0: return 18;
        case Q4_1: return 20;
        case Q5_0: return 22;
        case Q5_1: return 24;
        case Q8_0: return 34;
        case Q4_K: return 144;
        case Q5_K: return 176;
        case Q6_K: return 210;
        default: return 0;
    }
}

/// The two nibbles of each byte hold weights 16 apart; a fifth bit, where there is one, goes into 32 bits of their own.
static void pack(const uint8_t *codes, int bits, uint8_t *fifths, uint8_t *nibbles) {
    uint32_t high = 0;
    for (int i = 0; i < HALF; ++i) {
        nibbles[i] = (uint8_t)((codes[i] & 15) | (codes[i + HALF] & 15) << 4);
        high |= (uint32_t)(codes[i] >> 4) << i | (uint32_t)(codes[i + HALF] >> 4) << (i + HALF);
    }
    if (bits == 5) {
        for (int i = 0; i < 4; ++i) fifths[i] = (uint8_t)(high >> 8 * i);
    }
}

static void unpack(const uint8_t *fifths, const uint8_t *nibbles, int bits, uint8_t *codes) {
    uint32_t high = 0;
    if (bits == 5) {
        for (int i = 0; i < 4; ++i) high |= (uint32_t)fifths[i] << 8 * i;
    }
    for (int i = 0; i < HALF; ++i) {
        codes[i] = (uint8_t)((nibbles[i] & 15) | (high >> i & 1) << 4);
        codes[i + HALF] = (uint8_t)(nibbles[i] >> 4 | (high >> (i + HALF) & 1) << 4);
    }
}

/// Codes around zero: the weight of the largest size gets the lowest code, exactly.
static void encode_centred(const float *x, int bits, uint8_t *out) {
    const int middle = 1 << (bits - 1);
    float extreme = 0;
    for (int i = 0; i < SIMPLE; ++i) {
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    }
    const float scale = extreme / (float)-middle, inverse = scale != 0 ? 1 / scale : 0;
    uint8_t codes[SIMPLE];
    for (int i = 0; i < SIMPLE; ++i) {
        const float code = x[i] * inverse + ((float)middle + 0.5f);
        codes[i] = (uint8_t)fminf((float)(2 * middle - 1), code);
    }
    lf_put16(out, lf_half(scale));
    pack(codes, bits, out + 2, out + (bits == 5 ? 6 : 2));
}

/// Codes between the smallest and the largest weight.
static void encode_ranged(const float *x, int bits, uint8_t *out) {
    const float steps = (float)((1 << bits) - 1);
    float least = x[0], most = x[0];
    for (int i = 1; i < SIMPLE; ++i) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
    }
    const float scale = (most - least) / steps, inverse = scale != 0 ? 1 / scale : 0;
    uint8_t codes[SIMPLE];
    for (int i = 0; i < SIMPLE; ++i) codes[i] = (uint8_t)fminf(steps, (x[i] - least) * inverse + 0.5f);
    lf_put16(out, lf_half(scale));
    lf_put16(out + 2, lf_half(least));
    pack(codes, bits, out + 4, out + (bits == 5 ? 8 : 4));
}

static void encode_bytes(const float *x, uint8_t *out) {
    float largest = 0;
    for (int i = 0; i < SIMPLE; ++i) largest = fmaxf(largest, fabsf(x[i]));
    const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
    lf_put16(out, lf_half(scale));
    for (int i = 0; i < SIMPLE; ++i) out[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

static void decode_centred(const uint8_t *in, int bits, float *x) {
    uint8_t codes[SIMPLE];
    unpack(in + 2, in + (bits == 5 ? 6 : 2), bits, codes);
    const float scale = lf_from_half(lf_get16(in));
    for (int i = 0; i < SIMPLE; ++i) x[i] = scale * (float)(codes[i] - (1 << (bits - 1)));
}

static void decode_ranged(const uint8_t *in, int bits, float *x) {
    uint8_t codes[SIMPLE];
    unpack(in + 4, in + (bits == 5 ? 8 : 4), bits, codes);
    const float scale = lf_from_half(lf_get16(in)), least = lf_from_half(lf_get16(in + 2));
    for (int i = 0; i < SIMPLE; ++i) x[i] = scale * (float)codes[i] + least;
}

static void encode_block(uint32_t type, const float *x, uint8_t *out) {
    switch (type) {
        case F32: memcpy(out, x, 4); break;
        case F16: lf_put16(out, lf_half(*x)); break;
        case BF16: lf_put16(out, lf_brain(*x)); break;
        case Q4_0: encode_centred(x, 4, out); break;
        case Q4_1: encode_ranged(x, 4, out); break;
        case Q5_0: encode_centred(x, 5, out); break;
        case Q5_1: encode_ranged(x, 5, out); break;
        case Q8_0: encode_bytes(x, out); break;
        case Q4_K: lf_encode_ranged_superblock(x, 4, out); break;
        case Q5_K: lf_encode_ranged_superblock(x, 5, out); break;
        case Q6_K: lf_encode_centred_superblock(x, out); break;
        default: break;
    }
}

static void decode_block(uint32_t type, const uint8_t *in, float *x) {
    switch (type) {
        case F32: memcpy(x, in, 4); break;
        case F16: *x = lf_from_half(lf_get16(in)); break;
        case BF16: *x = lf_from_bits((uint32_t)lf_get16(in) << 16); break;
        case Q4_0: decode_centred(in, 4, x); break;
        case Q4_1: decode_ranged(in, 4, x); break;
        case Q5_0: decode_centred(in, 5, x); break;
        case Q5_1: decode_ranged(in, 5, x); break;
        case Q8_0: {
            const float scale = lf_from_half(lf_get16(in));
            for (int i = 0; i < SIMPLE; ++i) x[i] = (float)(int8_t)in[2 + i] * scale;
            break;
        }
        case Q4_K: lf_decode_ranged_superblock(in, 4, x); break;
        case Q5_K: lf_decode_ranged_superblock(in, 5, x); break;
        case Q6_K: lf_decode_centred_superblock(in, x); break;
        default: break;
    }
}

void lf_gguf_encode(uint32_t type, const float *weights, size_t count, uint8_t *bytes) {
    const size_t width = lf_gguf_block_weights(type), size = lf_gguf_block_bytes(type);
    if (width == 0) return;
    for (size_t block = 0; block < count / width; ++block) encode_block(type, weights + block * width, bytes + block * size);
}

void lf_gguf_decode(uint32_t type, const uint8_t *bytes, size_t count, float *weights) {
    const size_t width = lf_gguf_block_weights(type), size = lf_gguf_block_bytes(type);
    if (width == 0) return;
    for (size_t block = 0; block < count / width; ++block) decode_block(type, bytes + block * size, weights + block * width);
}

void lf_gguf_compare(
    uint32_t type, const float *weights, size_t count, const uint8_t *bytes, double *loss, double *size) {
    const size_t width = lf_gguf_block_weights(type), step = lf_gguf_block_bytes(type);
    if (width == 0) return;
    double missed = 0, squares = 0;
    float decoded[LF_SUPERBLOCK];
    for (size_t start = 0; start < count; start += width) {
        decode_block(type, bytes + start / width * step, decoded);
        for (size_t i = 0; i < width; ++i) {
            const double x = weights[start + i], miss = (double)decoded[i] - x;
            missed += miss * miss;
            squares += x * x;
        }
    }
    *loss += missed;
    *size += squares;
}
