#ifndef LF_GGUF_NUMBERS_H
#define LF_GGUF_NUMBERS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t lf_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float lf_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/// IEEE half precision, rounded to the nearest, ties to even; too large becomes infinite.
static inline uint16_t lf_half(float value) {
    const uint32_t bits = lf_bits(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return sign | 0x7E00;
    if (size >= 0x47800000) return sign | 0x7C00;
    if (size < 0x38800000) {
        // Below the smallest normal half: adding 0.5 leaves the multiple of 2^-24 in the low bits.
        return sign | (uint16_t)(lf_bits(lf_from_bits(size) + 0.5f) - 0x3F000000);
    }
    return sign | (uint16_t)((size - 0x38000000 + 0xFFF + (size >> 13 & 1)) >> 13);
}

static inline float lf_from_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;
    if (exponent == 0) {
        const float size = (float)fraction * 0x1p-24f;
        return sign ? -size : size;
    }
    if (exponent == 31) return lf_from_bits(sign | 0x7F800000 | fraction << 13);
    return lf_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/// bfloat16, rounded to the nearest, ties to even.
static inline uint16_t lf_brain(float value) {
    const uint32_t bits = lf_bits(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline void lf_put16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline uint16_t lf_get16(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }

#endif
