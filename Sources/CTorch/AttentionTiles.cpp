// The work on a tile's numbers, for several vector widths.
#include "AttentionTiles.hpp"

#include "Lanes.hpp"
#include <algorithm>
#include <limits>

namespace lf::tiles {
namespace {

/// 0, 1, 2, …
LF_INLINE void count_up(lanes &to) {
    for (int i = 0; i < lane_count; ++i) to[i] = i;
}

LF_SIMD void shape(float *scores, const Tile &tile, const Scoring &scoring, float *derivative) {
#pragma clang fp contract(fast)
    const float infinity = std::numeric_limits<float>::infinity();
    bool is_capped = scoring.softcap > 0;
    float factor = is_capped ? scoring.scale / scoring.softcap : scoring.factor(), cap = scoring.softcap * per_ln2, slope = scoring.slope * per_ln2;
    float window = scoring.window > 0 ? float(scoring.window) : infinity;
    lanes steps;
    count_up(steps);
    for (int64_t row = 0; row < tile.keys; ++row)
        for (int64_t column = 0; column < tile.queries; column += lane_count) {
            float *place = scores + row * side + column;
            lanes x;
            load(place, x);
            x *= factor;
            if (is_capped) {
                hyperbolic_tangent(x);
                if (derivative) store(1 - x * x, derivative + row * side + column);
                x *= cap;
            }
            lanes distance = steps + float(tile.query_place + column - tile.key_place - row);
            x -= slope * distance;
            if (tile.is_masked) {
                lanes hidden = lanes{} - infinity;
                x = distance < 0 ? hidden : x;
                x = distance >= window ? hidden : x;
            }
            store(x, place);
        }
}

template <int columns> LF_INLINE bool soften_columns(float *scores, int64_t keys, int64_t padded_keys, float factor, float *top, float *sum, float *rescale, uint32_t *pairs) {
#pragma clang fp contract(fast)
    lanes tops[columns], old[columns], sums[columns] = {}, x;
    for (int c = 0; c < columns; ++c) tops[c] = lanes{} - std::numeric_limits<float>::infinity();
    for (int64_t row = 0; row < keys; ++row)
        for (int c = 0; c < columns; ++c) {
            load(scores + row * side + c * lane_count, x);
            tops[c] = x > tops[c] ? x : tops[c];
        }
    bool has_changed = false;
    for (int c = 0; c < columns; ++c) {
        load(top + c * lane_count, old[c]);
        tops[c] *= factor;
        tops[c] = tops[c] > old[c] ? tops[c] : old[c];
        store(tops[c], top + c * lane_count);
        x = old[c] - tops[c];
        for (int i = 0; i < lane_count; ++i) has_changed |= x[i] != 0;
        power_of_two(x);
        store(x, rescale + c * lane_count);
    }
    auto weigh = [&](int64_t row, int c, lanes &to) __attribute__((always_inline)) {
        load(scores + row * side + c * lane_count, to);
        to = to * factor - tops[c];
        power_of_two(to);
        sums[c] += to;
    };
    if (pairs) {
        for (int64_t row = 0; row < padded_keys; row += 2)
            for (int c = 0; c < columns; ++c) {
                word_lanes low{}, high{};
                if (row < keys) { weigh(row, c, x); round_to_halves(x, low); }
                if (row + 1 < keys) { weigh(row + 1, c, x); round_to_halves(x, high); }
                store(low | high << 16, pairs + row / 2 * side + c * lane_count);
            }
    } else {
        for (int64_t row = 0; row < keys; ++row)
            for (int c = 0; c < columns; ++c) {
                weigh(row, c, x);
                store(x, scores + row * side + c * lane_count);
            }
        for (int64_t row = keys; row < padded_keys; ++row)
            for (int c = 0; c < columns; ++c) store(lanes{}, scores + row * side + c * lane_count);
    }
    for (int c = 0; c < columns; ++c) {
        lanes before;
        load(sum + c * lane_count, before);
        load(rescale + c * lane_count, x);
        store(before * x + sums[c], sum + c * lane_count);
    }
    return has_changed;
}

LF_SIMD bool soften_simd(float *scores, int64_t keys, int64_t padded_keys, int64_t columns, float factor, float *top, float *sum, float *rescale, uint32_t *pairs) {
    switch (columns / lane_count) {
        case 1: return soften_columns<1>(scores, keys, padded_keys, factor, top, sum, rescale, pairs);
        case 2: return soften_columns<2>(scores, keys, padded_keys, factor, top, sum, rescale, pairs);
        case 3: return soften_columns<3>(scores, keys, padded_keys, factor, top, sum, rescale, pairs);
        default: return soften_columns<4>(scores, keys, padded_keys, factor, top, sum, rescale, pairs);
    }
}

LF_SIMD void scale_simd(float *x, int64_t rows, int64_t columns, const float *factors) {
    lanes factor, value;
    for (int64_t column = 0; column < columns; column += lane_count) {
        load(factors + column, factor);
        for (int64_t row = 0; row < rows; ++row) {
            load(x + row * side + column, value);
            store(value * factor, x + row * side + column);
        }
    }
}

/// One vector's weights and gradients.
LF_INLINE void differentiate_lanes(const float *scores, const float *gradients, const float *cap_derivative, float factor, const lanes &log_sum,
                                   const lanes &delta, lanes &weight, lanes &gradient) {
#pragma clang fp contract(fast)
    load(scores, weight);
    load(gradients, gradient);
    weight = weight * factor - log_sum;
    power_of_two(weight);
    gradient = weight * (gradient - delta);
    if (cap_derivative) {
        lanes x;
        load(cap_derivative, x);
        gradient *= x;
    }
}

LF_SIMD void differentiate_f32(float *scores, float *gradients, const Tile &tile, float factor, const float *log_sums, const float *deltas,
                                              const float *cap_derivative) {
    int64_t padded_keys = tile.padded_keys();
    for (int64_t column = 0; column < tile.queries; column += lane_count) {
        lanes log_sum, delta, weight, gradient;
        load(log_sums + column, log_sum);
        load(deltas + column, delta);
        for (int64_t row = 0; row < tile.keys; ++row) {
            int64_t place = row * side + column;
            differentiate_lanes(scores + place, gradients + place, cap_derivative ? cap_derivative + place : nullptr, factor, log_sum, delta, weight,
                                gradient);
            store(weight, scores + place);
            store(gradient, gradients + place);
        }
        for (int64_t row = tile.keys; row < padded_keys; ++row) {
            store(lanes{}, scores + row * side + column);
            store(lanes{}, gradients + row * side + column);
        }
    }
}

LF_SIMD void differentiate_bf16(const float *scores, const float *gradients, const Tile &tile, float factor, const float *log_sums,
                                               const float *deltas, const float *cap_derivative, uint16_t *weights, uint16_t *rounded, uint32_t *pairs) {
    int64_t padded_keys = tile.padded_keys();
    for (int64_t column = 0; column < tile.queries; column += lane_count) {
        lanes log_sum, delta, weight, gradient;
        load(log_sums + column, log_sum);
        load(deltas + column, delta);
        for (int64_t row = 0; row < padded_keys; row += 2) {
            word_lanes halves[2] = {};
            for (int i = 0; i < 2; ++i) {
                int64_t place = (row + i) * side + column;
                word_lanes rounded_weight{};
                if (row + i < tile.keys) {
                    differentiate_lanes(scores + place, gradients + place, cap_derivative ? cap_derivative + place : nullptr, factor, log_sum, delta,
                                        weight, gradient);
                    round_to_halves(weight, rounded_weight);
                    round_to_halves(gradient, halves[i]);
                }
                store_halves(rounded_weight, weights + place);
                store_halves(halves[i], rounded + place);
            }
            store(halves[0] | halves[1] << 16, pairs + row / 2 * side + column);
        }
    }
}

/// Sixteen rows from `column` on; what lies outside is zero.
LF_INLINE void load_square(const uint32_t *from, int64_t stride, int64_t rows, int64_t columns, word_lanes (&square)[lane_count]) {
    for (int64_t i = 0; i < lane_count; ++i) {
        square[i] = word_lanes{};
        if (i >= rows) continue;
        if (columns >= lane_count) load(from + i * stride, square[i]);
        else __builtin_memcpy(&square[i], from + i * stride, columns * 4);
    }
}

LF_SIMD void transpose_words_simd(const uint32_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to) {
    word_lanes square[lane_count];
    for (int64_t row = 0; row < rows; row += lane_count)
        for (int64_t column = 0; column < columns; column += lane_count) {
            load_square(from + row * stride + column, stride, rows - row, columns - column, square);
            transpose(square);
            for (int64_t i = 0; i < std::min(lane_count, columns - column); ++i) store(square[i], to + (column + i) * side + row);
        }
}

LF_SIMD void transpose_halves_simd(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint16_t *to) {
    word_lanes square[lane_count];
    const auto *words = reinterpret_cast<const uint32_t *>(from);
    for (int64_t row = 0; row < rows; row += lane_count)
        for (int64_t column = 0; column < columns / 2; column += lane_count) {
            load_square(words + row * (stride / 2) + column, stride / 2, rows - row, columns / 2 - column, square);
            transpose(square);
            for (int64_t i = 0; i < std::min(lane_count, columns / 2 - column); ++i) {
                uint16_t *place = to + 2 * (column + i) * side + row;
                store_halves(square[i] & 0xffff, place);
                store_halves(square[i] >> 16, place + side);
            }
        }
}

LF_SIMD void pair_rows_simd(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to) {
    for (int64_t row = 0; row < padded(rows); row += 2) {
        const uint16_t *low = from + row * stride, *high = low + stride;
        for (int64_t i = 0; i < columns; ++i)
            to[row / 2 * columns + i] = (row < rows ? uint32_t(low[i]) : 0) | (row + 1 < rows ? uint32_t(high[i]) << 16 : 0);
    }
}

template <typename scalar> LF_INLINE void multiply_rows(const scalar *a, const scalar *b, int64_t stride, int64_t rows, int64_t columns, float *to) {
#pragma clang fp reassociate(on) contract(fast)
    for (int64_t row = 0; row < rows; ++row) {
        const scalar *x = a + row * stride, *y = b + row * stride;
        lanes sums{}, one, other;
        int64_t i = 0;
        for (; i + lane_count <= columns; i += lane_count) {
            load(x + i, one);
            load(y + i, other);
            sums += one * other;
        }
        float sum = 0;
        for (int j = 0; j < lane_count; ++j) sum += sums[j];
        for (; i < columns; ++i) sum += float(x[i]) * float(y[i]);
        to[row] = sum;
    }
}
LF_SIMD void multiply_rows_f32(const float *a, const float *b, int64_t stride, int64_t rows, int64_t columns, float *to) {
    multiply_rows(a, b, stride, rows, columns, to);
}
LF_SIMD void multiply_rows_bf16(const c10::BFloat16 *a, const c10::BFloat16 *b, int64_t stride, int64_t rows, int64_t columns, float *to) {
    multiply_rows(a, b, stride, rows, columns, to);
}

/// Writes up to sixteen numbers.
LF_INLINE void write(const lanes &x, int64_t count, float *to) {
    if (count >= lane_count) store(x, to);
    else __builtin_memcpy(to, &x, count * 4);
}
LF_INLINE void write(const lanes &x, int64_t count, uint16_t *to) {
    word_lanes words;
    round_to_halves(x, words);
    if (count >= lane_count) return store_halves(words, to);
    for (int64_t i = 0; i < count; ++i) to[i] = words[i];
}

template <typename scalar>
LF_INLINE void finish_tiles(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, scalar *to, int64_t stride) {
    word_lanes square[lane_count];
    for (int64_t row = 0; row < rows; row += lane_count) {
        lanes factor;
        load(factors + row, factor);
        for (int64_t column = 0; column < columns; column += lane_count) {
            for (int64_t i = 0; i < lane_count; ++i) {
                square[i] = word_lanes{};
                if (column + i >= columns) continue;
                lanes sum{}, x;
                for (int64_t tile = 0; tile < count; ++tile) {
                    load(from[tile] + (column + i) * side + row, x);
                    sum += x;
                }
                sum *= factor;
                __builtin_memcpy(&square[i], &sum, sizeof sum);
            }
            transpose(square);
            for (int64_t i = 0; i < std::min(lane_count, rows - row); ++i) {
                lanes x;
                __builtin_memcpy(&x, &square[i], sizeof x);
                write(x, columns - column, to + (row + i) * stride + column);
            }
        }
    }
}
LF_SIMD void finish_f32(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, float *to, int64_t stride) {
    finish_tiles(from, count, factors, rows, columns, to, stride);
}
LF_SIMD void finish_bf16(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, uint16_t *to, int64_t stride) {
    finish_tiles(from, count, factors, rows, columns, to, stride);
}

template <typename scalar> LF_INLINE void write_all(const float *from, float factor, int64_t rows, int64_t columns, scalar *to, int64_t stride) {
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t i = 0; i < columns; i += lane_count) {
            lanes x{};
            if (i + lane_count <= columns) load(from + row * columns + i, x);
            else __builtin_memcpy(&x, from + row * columns + i, (columns - i) * 4);
            write(x * factor, columns - i, to + row * stride + i);
        }
}
LF_SIMD void write_f32(const float *from, float factor, int64_t rows, int64_t columns, float *to, int64_t stride) {
    write_all(from, factor, rows, columns, to, stride);
}
LF_SIMD void write_bf16(const float *from, float factor, int64_t rows, int64_t columns, uint16_t *to, int64_t stride) {
    write_all(from, factor, rows, columns, to, stride);
}

}  // namespace

void shape_scores(float *scores, const Tile &tile, const Scoring &scoring, float *derivative) { shape(scores, tile, scoring, derivative); }

bool soften(float *scores, const Tile &tile, float factor, float *top, float *sum, float *rescale, uint32_t *pairs) {
    return soften_simd(scores, tile.keys, tile.padded_keys(), tile.queries, factor, top, sum, rescale, pairs);
}

void scale_columns(float *x, int64_t rows, int64_t columns, const float *factors) { scale_simd(x, rows, columns, factors); }

void differentiate(float *scores, float *gradients, const Tile &tile, float factor, const float *log_sums, const float *deltas,
                   const float *cap_derivative) {
    differentiate_f32(scores, gradients, tile, factor, log_sums, deltas, cap_derivative);
}
void differentiate(float *scores, float *gradients, const Tile &tile, float factor, const float *log_sums, const float *deltas,
                   const float *cap_derivative, uint16_t *weights, uint16_t *rounded, uint32_t *pairs) {
    differentiate_bf16(scores, gradients, tile, factor, log_sums, deltas, cap_derivative, weights, rounded, pairs);
}

void transpose_words(const uint32_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to) {
    transpose_words_simd(from, stride, rows, columns, to);
}
void transpose_halves(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint16_t *to) {
    transpose_halves_simd(from, stride, rows, columns, to);
}
void pair_rows(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to) { pair_rows_simd(from, stride, rows, columns, to); }

void row_products(const float *a, const float *b, int64_t stride, int64_t rows, int64_t columns, float *to) {
    multiply_rows_f32(a, b, stride, rows, columns, to);
}
void row_products(const c10::BFloat16 *a, const c10::BFloat16 *b, int64_t stride, int64_t rows, int64_t columns, float *to) {
    multiply_rows_bf16(a, b, stride, rows, columns, to);
}

void finish(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, float *to, int64_t stride) {
    finish_f32(from, count, factors, rows, columns, to, stride);
}
void finish(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, c10::BFloat16 *to, int64_t stride) {
    finish_bf16(from, count, factors, rows, columns, reinterpret_cast<uint16_t *>(to), stride);
}
void write_rows(const float *from, float factor, int64_t rows, int64_t columns, float *to, int64_t stride) {
    write_f32(from, factor, rows, columns, to, stride);
}
void write_rows(const float *from, float factor, int64_t rows, int64_t columns, c10::BFloat16 *to, int64_t stride) {
    write_bf16(from, factor, rows, columns, reinterpret_cast<uint16_t *>(to), stride);
}

}  // namespace lf::tiles
