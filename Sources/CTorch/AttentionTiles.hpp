// What attention does with a tile: the scores of up to 64 keys (rows) and 64 queries (columns), kept transposed so that all work per query runs along vectors.
#pragma once
#include "Internal.hpp"

namespace lf::tiles {

/// Rows and columns of a tile at most, and the distance of its rows.
constexpr int64_t side = 64;
/// Tiles grow to whole vectors; what lies behind the tokens is zero.
inline int64_t padded(int64_t count) { return (count + 15) / 16 * 16; }
/// Above all scores' logarithms: a query that sees nothing gets no weights.
constexpr float nothing_seen = 1e30f;
/// From natural logarithms to powers of two.
constexpr float per_ln2 = 1.4426950408889634f;

struct Scoring {
    float scale, softcap, slope;
    int64_t window;

    bool is_linear() const { return softcap <= 0 && slope == 0 && scale > 0; }
    /// From a product to a power of two.
    float factor() const { return scale * per_ln2; }
};

struct Tile {
    int64_t keys, queries;  // `queries` padded
    int64_t key_place, query_place;
    bool is_masked;

    int64_t padded_keys() const { return padded(keys); }
};

/// From products to powers of two, -infinity where a query does not see a key. `derivative`, unless null, receives what the soft-cap multiplies gradients by.
void shape_scores(float *scores, const Tile &tile, const Scoring &scoring, float *derivative);
/// One step of the online softmax: scores times `factor` become weights in place, or rounded in `pairs` unless that is null; `top` and `sum` go on.
/// Returns whether `rescale` holds other numbers than one.
bool soften(float *scores, const Tile &tile, float factor, float *top, float *sum, float *rescale, uint32_t *pairs);
/// Multiplies the columns of `x [rows][side]`.
void scale_columns(float *x, int64_t rows, int64_t columns, const float *factors);
/// From scores and gradients of weights to weights and gradients of scores, in place. `cap_derivative` may be null.
void differentiate(float *scores, float *gradients, const Tile &tile, float factor, const float *log_sums, const float *deltas,
                   const float *cap_derivative);
/// The same for bfloat16: rounded weights and gradients, `[keys][side]`, and the gradients in pairs.
void differentiate(float *scores, float *gradients, const Tile &tile, float factor, const float *log_sums, const float *deltas,
                   const float *cap_derivative, uint16_t *weights, uint16_t *rounded, uint32_t *pairs);

/// `to[column][row] = from[row][column]` of 32-bit words; rows up to `padded(rows)` become zeros; rows of `to` are `side` apart.
void transpose_words(const uint32_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to);
/// The same of 16-bit numbers; an even number of columns.
void transpose_halves(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint16_t *to);
/// Rows 2i and 2i + 1 of 16-bit numbers as one row of pairs; zeros up to `padded(rows)`.
void pair_rows(const uint16_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to);
/// `to[row] = Σ a[row]·b[row]`.
void row_products(const float *a, const float *b, int64_t stride, int64_t rows, int64_t columns, float *to);
void row_products(const c10::BFloat16 *a, const c10::BFloat16 *b, int64_t stride, int64_t rows, int64_t columns, float *to);
/// `to[row][column] = factors[row] · Σ from[column][row]` over `count` tiles.
void finish(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, float *to, int64_t stride);
void finish(const float *const *from, int64_t count, const float *factors, int64_t rows, int64_t columns, c10::BFloat16 *to, int64_t stride);
/// `to[row] = factor · from[row]`, rows of `from` `columns` apart.
void write_rows(const float *from, float factor, int64_t rows, int64_t columns, float *to, int64_t stride);
void write_rows(const float *from, float factor, int64_t rows, int64_t columns, c10::BFloat16 *to, int64_t stride);

}  // namespace lf::tiles
