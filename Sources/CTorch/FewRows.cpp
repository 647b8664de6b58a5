// Products of few rows with whole weights, as decoding has them: `y = x Wᵀ + bias`, float32 and bfloat16, sums in float32.
#include "FewRows.hpp"
#include "Lanes.hpp"
#include "Parallel.hpp"
#include "Profile.hpp"

#include <algorithm>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lf {
namespace {

// --- up to eight rows: bound by reading the weights, each of which is read once
//
// Memory is read fastest in the order of its addresses: the processor fetches ahead along one line of them, not along four in one
// page. One or two rows take the weights row by row, and fetch a page ahead of it. More rows need several weight rows at once, or x would be read too often; the
// next ones are fetched meanwhile: in the order of their addresses where up to four rows are bound by reading and a weight row is
// short, in step with the present ones where more rows are bound by counting. Each sum is formed in the same order in all cases.

enum class Fetch { none, in_order, in_step, ahead };
constexpr int64_t page = 4096;

/// `columns` rows of W against `rows` rows of x.
template <typename scalar, int rows, int columns, Fetch fetch>
LF_INLINE void product_tile(const scalar *x, const scalar *w, const scalar *bias, scalar *y, int64_t width, int64_t outputs) {
#pragma clang fp reassociate(on) contract(fast)
    lanes sums[rows][columns] = {};
    const char *next = reinterpret_cast<const char *>(w + columns * width);
    int64_t k = 0;
    for (; k + lane_count <= width; k += lane_count) {
        if (fetch == Fetch::in_order) {
            for (size_t line = 0; line < columns * lane_count * sizeof(scalar); line += 64) __builtin_prefetch(next + line);
            next += columns * lane_count * sizeof(scalar);
        }
        if (fetch == Fetch::ahead && k * sizeof(scalar) % 64 == 0) __builtin_prefetch(reinterpret_cast<const char *>(w + k) + page);
        lanes inputs[rows], weights;
        for (int m = 0; m < rows; ++m) load(x + m * width + k, inputs[m]);
        for (int n = 0; n < columns; ++n) {
            load(w + n * width + k, weights);
            if (fetch == Fetch::in_step) __builtin_prefetch(w + (n + columns) * width + k);
            for (int m = 0; m < rows; ++m) sums[m][n] += inputs[m] * weights;
        }
    }
    for (int m = 0; m < rows; ++m)
        for (int n = 0; n < columns; ++n) {
            float sum = 0;
            for (int i = 0; i < lane_count; ++i) sum += sums[m][n][i];
            for (int64_t i = k; i < width; ++i) sum += float(x[m * width + i]) * float(w[n * width + i]);
            y[m * outputs + n] = scalar(bias ? sum + float(bias[n]) : sum);
        }
}

template <typename scalar, int columns, Fetch fetch>
LF_INLINE void product_columns(const scalar *x, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width, int64_t outputs) {
    // The first tile reads the weights from memory.
    int64_t m = 4;
    switch (rows) {
        case 1: return product_tile<scalar, 1, columns, fetch>(x, w, bias, y, width, outputs);
        case 2: return product_tile<scalar, 2, columns, fetch>(x, w, bias, y, width, outputs);
        case 3: return product_tile<scalar, 3, columns, fetch>(x, w, bias, y, width, outputs);
        default: product_tile<scalar, 4, columns, fetch>(x, w, bias, y, width, outputs);
    }
    for (; m + 4 <= rows; m += 4) product_tile<scalar, 4, columns, Fetch::none>(x + m * width, w, bias, y + m * outputs, width, outputs);
    switch (rows - m) {
        case 3: return product_tile<scalar, 3, columns, Fetch::none>(x + m * width, w, bias, y + m * outputs, width, outputs);
        case 2: return product_tile<scalar, 2, columns, Fetch::none>(x + m * width, w, bias, y + m * outputs, width, outputs);
        case 1: return product_tile<scalar, 1, columns, Fetch::none>(x + m * width, w, bias, y + m * outputs, width, outputs);
    }
}

template <typename scalar>
LF_INLINE void few_rows(const scalar *x, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width, int64_t outputs, int64_t begin,
                        int64_t end) {
    constexpr int64_t tile = 4, short_run = 24576, cached_inputs = 8192;  // bytes
    int64_t n = begin, inputs = rows * width * sizeof(scalar);
    bool row_by_row = rows == 1 || (rows == 2 && inputs <= cached_inputs);
    bool are_short = tile * width * int64_t(sizeof(scalar)) <= short_run;
    for (; !row_by_row && n + tile <= end; n += tile) {
        const scalar *addends = bias ? bias + n : nullptr;
        if (rows > 4) product_columns<scalar, tile, Fetch::in_step>(x, w + n * width, addends, y + n, rows, width, outputs);
        else if (are_short) product_columns<scalar, tile, Fetch::in_order>(x, w + n * width, addends, y + n, rows, width, outputs);
        else product_columns<scalar, tile, Fetch::none>(x, w + n * width, addends, y + n, rows, width, outputs);
    }
    for (; n < end; ++n) product_columns<scalar, 1, Fetch::ahead>(x, w + n * width, bias ? bias + n : nullptr, y + n, rows, width, outputs);
}

// --- nine to sixteen rows: bound by counting
//
// The rows lie side by side in the lanes of a vector, so that a sum needs no adding across one: x is turned, `[width, 16]`, and each of
// its vectors is multiplied by one weight at a time.

constexpr int64_t columns_at_once = 8, widened = 64;

/// The next `count` weights of a row as float32: themselves, or widened into `buffer`.
LF_INLINE void widen(const float *w, int64_t, float *, const float *&to) { to = w; }
LF_INLINE void widen(const c10::BFloat16 *w, int64_t count, float *buffer, const float *&to) {
    lanes numbers;
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count) {
        load(w + i, numbers);
        store(numbers, buffer + i);
    }
    for (; i < count; ++i) buffer[i] = float(w[i]);
    to = buffer;
}

/// `columns` rows of W against all rows of x, turned; the sums of a row of W fill a vector.
template <typename scalar, int columns> LF_INLINE void turned_tile(const float *x, const scalar *w, int64_t width, lanes *sums) {
#pragma clang fp contract(fast)
    alignas(64) float buffer[columns * widened];
    lanes totals[columns] = {};
    const char *next = reinterpret_cast<const char *>(w + columns * width);
    for (int64_t start = 0; start < width; start += widened) {
        int64_t count = std::min(widened, width - start);
        const float *weights[columns];
        for (int n = 0; n < columns; ++n) widen(w + n * width + start, count, buffer + n * widened, weights[n]);
        for (size_t byte = 0; byte < columns * count * sizeof(scalar); byte += 64) __builtin_prefetch(next + byte);
        next += columns * count * sizeof(scalar);
        for (int64_t k = 0; k < count; ++k) {
            lanes inputs;
            load(x + (start + k) * lane_count, inputs);
            for (int n = 0; n < columns; ++n) totals[n] += inputs * weights[n][k];
        }
    }
    for (int n = 0; n < columns; ++n) sums[n] = totals[n];
}

template <typename scalar>
LF_INLINE void turned_rows(const float *x, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width, int64_t outputs, int64_t begin,
                           int64_t end) {
    int64_t n = begin;
    for (; n + lane_count <= end; n += lane_count) {
        lanes sums[lane_count], addends{};
        for (int64_t i = 0; i < lane_count; i += columns_at_once) turned_tile<scalar, columns_at_once>(x, w + (n + i) * width, width, sums + i);
        word_lanes square[lane_count];
        __builtin_memcpy(square, sums, sizeof sums);
        transpose(square);
        __builtin_memcpy(sums, square, sizeof sums);
        if (bias) load(bias + n, addends);
        for (int64_t m = 0; m < rows; ++m) store_rounded(sums[m] + addends, y + m * outputs + n);
    }
    for (; n < end; ++n) {
        lanes sums;
        turned_tile<scalar, 1>(x, w + n * width, width, &sums);
        for (int64_t m = 0; m < rows; ++m) y[m * outputs + n] = scalar(bias ? sums[m] + float(bias[n]) : sums[m]);
    }
}

/// Columns `[begin, end)` of up to sixteen rows `[rows, width]` as `[width, 16]`, filled up with zeros; `begin` starts a vector.
template <typename scalar> LF_INLINE void turn(const scalar *x, int64_t rows, int64_t width, float *turned, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k += lane_count) {
        lanes inputs;
        word_lanes square[lane_count] = {};
        int64_t count = std::min(lane_count, width - k);
        for (int64_t m = 0; m < rows; ++m) {
            if (count == lane_count) {
                load(x + m * width + k, inputs);
            } else {
                inputs = lanes{};
                for (int64_t i = 0; i < count; ++i) inputs[i] = float(x[m * width + k + i]);
            }
            __builtin_memcpy(&square[m], &inputs, sizeof inputs);
        }
        transpose(square);
        __builtin_memcpy(turned + k * lane_count, square, count * sizeof(lanes));
    }
}

#define LF_FEW_ROWS_KERNELS(name, scalar)                                                                                                     \
    LF_SIMD void few_rows_##name(const scalar *x, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width, int64_t outputs, \
                                 int64_t begin, int64_t end) {                                                                               \
        few_rows<scalar>(x, w, bias, y, rows, width, outputs, begin, end);                                                                   \
    }                                                                                                                                        \
    LF_SIMD void turned_rows_##name(const float *x, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width,              \
                                    int64_t outputs, int64_t begin, int64_t end) {                                                           \
        turned_rows<scalar>(x, w, bias, y, rows, width, outputs, begin, end);                                                                \
    }                                                                                                                                        \
    LF_SIMD void turn_##name(const scalar *x, int64_t rows, int64_t width, float *turned, int64_t begin, int64_t end) {                       \
        turn<scalar>(x, rows, width, turned, begin, end);                                                                                    \
    }
LF_FEW_ROWS_KERNELS(f32, float)
LF_FEW_ROWS_KERNELS(bf16, c10::BFloat16)

// --- nine to sixteen rows in bfloat16, on processors that multiply its pairs
//
// As above, but for a vector that holds a pair of neighbours of each row: `[width / 2, 16]` pairs.

#if defined(__x86_64__)
#define LF_PAIRS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"), min_vector_width(512)))

LF_PAIRS void pair_rows(const c10::BFloat16 *x, int64_t rows, int64_t width, uint32_t *pairs, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k += lane_count) {
        word_lanes square[lane_count] = {};
        int64_t count = std::min(lane_count, width - k);
        for (int64_t m = 0; m < rows; ++m) __builtin_memcpy(&square[m], x + m * width + k, count * sizeof(c10::BFloat16));
        transpose(square);
        __builtin_memcpy(pairs + k / 2 * lane_count, square, count / 2 * sizeof(word_lanes));
    }
}

/// `columns` rows of W against all rows of x, in pairs; the sums of a row of W fill a vector.
template <int columns> LF_PAIRS inline void paired_tile(const uint32_t *x, const c10::BFloat16 *w, int64_t width, lanes *sums) {
    constexpr int64_t run = widened / 2;
    __m512 totals[columns];
#pragma clang loop unroll(full)
    for (int n = 0; n < columns; ++n) totals[n] = _mm512_setzero_ps();
    const char *next = reinterpret_cast<const char *>(w + columns * width);
    for (int64_t start = 0; start < width / 2; start += run) {
        int64_t count = std::min(run, width / 2 - start);
        for (size_t byte = 0; byte < columns * count * sizeof(uint32_t); byte += 64) __builtin_prefetch(next + byte);
        next += columns * count * sizeof(uint32_t);
        for (int64_t k = start; k < start + count; ++k) {
            auto inputs = reinterpret_cast<__m512bh>(_mm512_loadu_si512(x + k * lane_count));
#pragma clang loop unroll(full)
            for (int n = 0; n < columns; ++n) {
                int pair;
                __builtin_memcpy(&pair, w + n * width + 2 * k, sizeof pair);
                totals[n] = _mm512_dpbf16_ps(totals[n], inputs, reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair)));
            }
        }
    }
#pragma clang loop unroll(full)
    for (int n = 0; n < columns; ++n) __builtin_memcpy(sums + n, totals + n, sizeof(lanes));
}

LF_PAIRS void paired_rows(const uint32_t *x, const c10::BFloat16 *w, const c10::BFloat16 *bias, c10::BFloat16 *y, int64_t rows, int64_t width,
                          int64_t outputs, int64_t begin, int64_t end) {
    int64_t n = begin;
    for (; n + lane_count <= end; n += lane_count) {
        lanes sums[lane_count], addends{};
        for (int64_t i = 0; i < lane_count; i += columns_at_once) paired_tile<columns_at_once>(x, w + (n + i) * width, width, sums + i);
        word_lanes square[lane_count];
        __builtin_memcpy(square, sums, sizeof sums);
        transpose(square);
        __builtin_memcpy(sums, square, sizeof sums);
        if (bias) load(bias + n, addends);
        for (int64_t m = 0; m < rows; ++m) store_rounded(sums[m] + addends, y + m * outputs + n);
    }
    for (; n < end; ++n) {
        lanes sums;
        paired_tile<1>(x, w + n * width, width, &sums);
        for (int64_t m = 0; m < rows; ++m) y[m * outputs + n] = c10::BFloat16(bias ? sums[m] + float(bias[n]) : sums[m]);
    }
}

bool has_pairs(const c10::BFloat16 *, int64_t width) {
    static const bool can = __builtin_cpu_supports("avx512bf16");
    return can && width % 2 == 0;
}
void pair_rows(const float *, int64_t, int64_t, uint32_t *, int64_t, int64_t) {}
void paired_rows(const uint32_t *, const float *, const float *, float *, int64_t, int64_t, int64_t, int64_t, int64_t) {}
#else
template <typename scalar> void pair_rows(const scalar *, int64_t, int64_t, uint32_t *, int64_t, int64_t) {}
template <typename scalar> void paired_rows(const uint32_t *, const scalar *, const scalar *, scalar *, int64_t, int64_t, int64_t, int64_t, int64_t) {}
bool has_pairs(const c10::BFloat16 *, int64_t) { return false; }
#endif
bool has_pairs(const float *, int64_t) { return false; }

constexpr int64_t most_rows_by_row = 8;

}  // namespace

bool are_turned(int64_t rows) { return rows > most_rows_by_row; }

#define LF_FEW_ROWS(name, scalar)                                                                                                             \
    void turn_few_rows(const scalar *x, int64_t rows, int64_t width, float *turned, int64_t first, int64_t last) {                            \
        int64_t begin = first * few_rows_tile, end = std::min(width, last * few_rows_tile);                                                  \
        if (has_pairs(x, width)) pair_rows(x, rows, width, reinterpret_cast<uint32_t *>(turned), begin, end);                                 \
        else turn_##name(x, rows, width, turned, begin, end);                                                                                \
    }                                                                                                                                        \
    void multiply_few_rows(const scalar *x, const float *turned, const scalar *w, const scalar *bias, scalar *y, int64_t rows, int64_t width, \
                           int64_t outputs, int64_t begin, int64_t end) {                                                                    \
        if (!are_turned(rows)) few_rows_##name(x, w, bias, y, rows, width, outputs, begin, end);                                              \
        else if (has_pairs(x, width)) paired_rows(reinterpret_cast<const uint32_t *>(turned), w, bias, y, rows, width, outputs, begin, end);  \
        else turned_rows_##name(turned, w, bias, y, rows, width, outputs, begin, end);                                                       \
    }
LF_FEW_ROWS(f32, float)
LF_FEW_ROWS(bf16, c10::BFloat16)

bool has_few_rows(const at::Tensor &x, const at::Tensor &w) {
    if (!x.is_cpu() || x.scalar_type() != w.scalar_type() || !x.is_contiguous() || !w.is_contiguous()) return false;
    return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.size(0) > 0 && x.size(0) <= most_few_rows;
}

namespace {

template <typename scalar> void multiply_all(const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, const at::Tensor &y) {
    int64_t rows = x.size(0), width = x.size(1), outputs = w.size(0);
    const auto *inputs = elements<scalar>(x), *weights = elements<scalar>(w), *addends = bias.defined() ? elements<scalar>(bias) : nullptr;
    auto *result = mutable_elements<scalar>(y);
    at::Tensor buffer;
    float *turned = nullptr;
    if (are_turned(rows)) {
        buffer = at::empty({turned_size(width)}, x.options().dtype(at::kFloat));
        turned = mutable_elements<float>(buffer);
        turn_few_rows(inputs, rows, width, turned, 0, (width + few_rows_tile - 1) / few_rows_tile);
    }
    int64_t tiles = (outputs + few_rows_tile - 1) / few_rows_tile, grain = std::max<int64_t>(1, 1024 / std::max<int64_t>(1, width));
    parallel_for(tiles, grain, [&](int64_t first, int64_t last) {
        multiply_few_rows(inputs, turned, weights, addends, result, rows, width, outputs, first * few_rows_tile, std::min(outputs, last * few_rows_tile));
    });
}

}  // namespace

at::Tensor product_of_few_rows(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
    count_operations(2.0 * double(x.size(0)) * double(x.size(1)) * double(w.size(0)));
    auto y = at::empty({x.size(0), w.size(0)}, x.options());
    auto addend = bias ? bias->to(x.scalar_type()).contiguous() : at::Tensor();
    if (x.scalar_type() == at::kFloat) multiply_all<float>(x, w, addend, y);
    else multiply_all<c10::BFloat16>(x, w, addend, y);
    return y;
}

}  // namespace lf
