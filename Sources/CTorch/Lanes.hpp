// Sixteen numbers at a time: what loops compiled for several vector widths are made of.
#pragma once
#include "Internal.hpp"

/// A part of such a loop. It lets the compiler keep 512 bits in one register, which it avoids unasked.
#define LF_INLINE inline __attribute__((always_inline, min_vector_width(512)))

namespace lf {

typedef float lanes __attribute__((vector_size(64)));
typedef float unaligned_lanes __attribute__((vector_size(64), aligned(4)));
typedef uint16_t half_lanes __attribute__((vector_size(32), aligned(2)));
typedef uint32_t word_lanes __attribute__((vector_size(64)));
typedef uint32_t unaligned_word_lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t integer_lanes __attribute__((vector_size(64)));
constexpr int64_t lane_count = 16;

// Results go to references: a vector that is returned would change its place with the processor.

LF_INLINE void load(const float *from, lanes &to) { to = *reinterpret_cast<const unaligned_lanes *>(from); }
LF_INLINE void load(const uint32_t *from, word_lanes &to) { to = *reinterpret_cast<const unaligned_word_lanes *>(from); }
LF_INLINE void load(const c10::BFloat16 *from, lanes &to) {
    auto words = __builtin_convertvector(*reinterpret_cast<const half_lanes *>(from), word_lanes) << 16;
    __builtin_memcpy(&to, &words, sizeof to);
}
LF_INLINE void store(const lanes &from, float *to) { *reinterpret_cast<unaligned_lanes *>(to) = from; }
LF_INLINE void store(const word_lanes &from, uint32_t *to) { *reinterpret_cast<unaligned_word_lanes *>(to) = from; }

/// The nearest bfloat16 of each number, in the low halves of words.
LF_INLINE void round_to_halves(const lanes &x, word_lanes &to) {
    word_lanes bits = reinterpret_cast<const word_lanes &>(x);
    word_lanes rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to = x == x ? rounded : word_lanes{} + 0x7fc0;
}
LF_INLINE void store_halves(const word_lanes &from, uint16_t *to) { *reinterpret_cast<half_lanes *>(to) = __builtin_convertvector(from, half_lanes); }

/// The nearest numbers of the type that a pointer points to.
LF_INLINE void round_as(lanes &x, const float *) {}
LF_INLINE void round_as(lanes &x, const c10::BFloat16 *) {
    word_lanes halves;
    round_to_halves(x, halves);
    halves <<= 16;
    __builtin_memcpy(&x, &halves, sizeof x);
}
LF_INLINE void store_rounded(const lanes &from, float *to) { store(from, to); }
LF_INLINE void store_rounded(const lanes &from, c10::BFloat16 *to) {
    word_lanes halves;
    round_to_halves(from, halves);
    store_halves(halves, reinterpret_cast<uint16_t *>(to));
}

constexpr float to_integer = 12582912;  // 1.5 · 2^23: a sum with it has no fraction

/// `2^(n + part)` for part from -1/2 to 1/2; `shifted` is n and `to_integer`.
LF_INLINE void power_of_parts(const lanes &shifted, const lanes &part, lanes &to) {
#pragma clang fp reassociate(off) contract(fast)
    // The interpolation of 2^part at Chebyshev's points of [-1/2, 1/2].
    lanes result = 0.00015461444854736328f * part + 0.0013400427997112274f;
    result = result * part + 0.009618056938052177f;
    result = result * part + 0.05550327152013779f;
    result = result * part + 0.24022650718688965f;
    result = result * part + 0.6931471824645996f;
    result = result * part + 1.0f;
    word_lanes exponent = reinterpret_cast<const word_lanes &>(shifted) << 23;
    word_lanes bits = reinterpret_cast<const word_lanes &>(result) + exponent;
    to = reinterpret_cast<const lanes &>(bits);
}

/// `2^x` for x up to 126, relative error 1e-7; 0 below -126.
LF_INLINE void power_of_two(lanes &x) {
#pragma clang fp reassociate(off) contract(fast)
    lanes bounded = x < -126 ? lanes{} - 126 : x, power;
    lanes shifted = bounded + to_integer;
    lanes part = bounded - (shifted - to_integer);
    power_of_parts(shifted, part, power);
    x = x < -126 ? lanes{} : power;
}

/// `e^x`, relative error 2e-7; beyond 87 and below -87 it stays as it is there.
LF_INLINE void natural_power(lanes &x) {
#pragma clang fp reassociate(off) contract(fast)
    constexpr float per_ln2 = 1.44269502f, rest = 1.92596299e-8f;  // 1 / ln 2 in two parts
    lanes bounded = x < -87 ? lanes{} - 87 : x, power;
    bounded = bounded > 87 ? lanes{} + 87 : bounded;
    lanes shifted = bounded * per_ln2 + to_integer;
    lanes part = bounded * per_ln2 - (shifted - to_integer);
    part += bounded * rest;
    power_of_parts(shifted, part, power);
    x = power;
}

/// `tanh x`, absolute error 1e-7.
LF_INLINE void hyperbolic_tangent(lanes &x) {
#pragma clang fp reassociate(off) contract(fast)
    constexpr float twice_per_ln2 = 2.8853900817779268f;
    lanes size = x < 0 ? -x : x, z = x * x;
    lanes near = -0.00570498872745f * z + 0.0206390887954f;
    near = near * z - 0.0537397155531f;
    near = near * z + 0.133314422036f;
    near = near * z - 0.333332819422f;
    near = near * z * x + x;
    lanes far = size > 20 ? lanes{} + 20 : size;
    far = far * twice_per_ln2;
    power_of_two(far);
    far = 1 - 2 / (far + 1);
    far = x < 0 ? -far : far;
    x = size < 0.625f ? near : (x == x ? far : x);
}

/// Element j of row i becomes element i of row j.
LF_INLINE void transpose(word_lanes (&rows)[lane_count]) {
    // Bit by bit, the index of the row changes places with the index in the row.
#define LF_SWAP(bit, low, high)                                                      \
    for (int i = 0; i < lane_count; ++i)                                             \
        if (!(i & bit)) {                                                            \
            word_lanes a = rows[i], b = rows[i + bit];                               \
            rows[i] = __builtin_shufflevector(a, b, LF_UNPACK low);                  \
            rows[i + bit] = __builtin_shufflevector(a, b, LF_UNPACK high);           \
        }
#define LF_UNPACK(...) __VA_ARGS__
    LF_SWAP(1, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30), (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
    LF_SWAP(2, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29), (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    LF_SWAP(4, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27), (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    LF_SWAP(8, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#undef LF_SWAP
#undef LF_UNPACK
}

}  // namespace lf
