// A library's product looks its kernel up anew each time, which takes as long as a product with so short a side. Blocks of rows, or of columns where tokens
// are summed over, are formed by one task each, so that the number of threads does not change a bit.
#include "LowRank.hpp"
#include "AttentionTiles.hpp"
#include "Lanes.hpp"
#include "MicroKernels.hpp"
#include "Parallel.hpp"
#include "Profile.hpp"

#include <algorithm>

namespace lf {
namespace {

constexpr int64_t greatest_rank = 64;
/// Rows and columns that a task takes at once.
constexpr int64_t row_block = 32, column_block = 512, summed_columns = 256;

int64_t ceiling(int64_t count, int64_t of) { return (count + of - 1) / of; }
int64_t even(int64_t count) { return count + count % 2; }

/// A thread's memory, which it keeps.
template <typename T> T *scratch(size_t count) {
    static thread_local std::vector<T> memory;
    if (memory.size() < count) memory.resize(count);
    return memory.data();
}

/// A matrix as the right side of a product: where it lies in float32, rows in pairs in bfloat16.
template <typename scalar> struct RightSide {
    at::Tensor held;
    const scalar *data;

    explicit RightSide(const at::Tensor &m) : held(m.to(c10::CppTypeToScalarType<scalar>::value).contiguous()) {
        if constexpr (std::is_same_v<scalar, c10::BFloat16>) {
            auto pairs = at::empty({tiles::padded(m.size(0)), m.size(1)}, held.options());
            tiles::pair_rows(static_cast<const uint16_t *>(held.const_data_ptr()), m.size(1), m.size(0), m.size(1),
                             static_cast<uint32_t *>(pairs.mutable_data_ptr()));
            held = pairs;
        }
        data = elements<scalar>(held);
    }
};

LF_SIMD void add_rounded(c10::BFloat16 *to, const float *from, int64_t count) {
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count) {
        lanes x, y;
        load(from + i, x);
        load(to + i, y);
        store_rounded(x + y, to + i);
    }
    for (; i < count; ++i) to[i] = c10::BFloat16(float(to[i]) + from[i]);
}

template <typename Body> void for_blocks(int64_t count, int64_t block, at::ScalarType type, const Body &body) {
    parallel_for(ceiling(count, block), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) body(i * block, std::min(block, count - i * block));
        end_of_products(type);
    });
}

template <typename scalar> void down(const at::Tensor &x, const at::Tensor &m, float scale, at::Tensor &result) {
    RightSide<scalar> right(m);
    int64_t width = x.size(1), rank = m.size(1);
    const scalar *from = elements<scalar>(x);
    scalar *to = mutable_elements<scalar>(result);
    for_blocks(x.size(0), row_block, x.scalar_type(), [&](int64_t row, int64_t rows) {
        float *sums = scratch<float>(row_block * rank);
        multiply(rows, rank, width, width, rank, rank, false, from + row * width, right.data, sums);
        tiles::write_rows(sums, scale, rows, rank, to + row * rank, rank);
    });
}

template <typename scalar> void add(at::Tensor &y, const at::Tensor &d, const at::Tensor &m) {
    RightSide<scalar> right(m);
    int64_t width = y.size(1), rank = d.size(1);
    const scalar *from = elements<scalar>(d);
    scalar *to = mutable_elements<scalar>(y);
    for_blocks(y.size(0), row_block, y.scalar_type(), [&](int64_t row, int64_t rows) {
        if constexpr (std::is_same_v<scalar, float>) {
            multiply(rows, width, rank, rank, width, width, true, from + row * rank, right.data, to + row * width);
        } else {
            float *sums = scratch<float>(row_block * column_block);
            for (int64_t column = 0; column < width; column += column_block) {
                int64_t columns = std::min(column_block, width - column);
                multiply(rows, columns, rank, rank, width, columns, false, from + row * rank, right.data + 2 * column, sums);
                for (int64_t i = 0; i < rows; ++i) add_rounded(to + (row + i) * width + column, sums + i * columns, columns);
            }
        }
    });
}

template <typename scalar> void gradient(const at::Tensor &d, const at::Tensor &x, at::Tensor &result) {
    int64_t tokens = x.size(0), width = x.size(1), rank = d.size(1), length = even(tokens);
    auto turned = at::zeros({rank, length}, d.options());
    turned.narrow(1, 0, tokens).copy_(d.t());
    const scalar *left = elements<scalar>(turned), *from = elements<scalar>(x);
    float *to = mutable_elements<float>(result);
    for_blocks(width, summed_columns, x.scalar_type(), [&](int64_t column, int64_t columns) {
        if constexpr (std::is_same_v<scalar, float>) {
            multiply(rank, columns, tokens, length, width, width, false, left, from + column, to + column);
        } else {
            auto *pairs = scratch<uint32_t>(tiles::padded(tokens) / 2 * columns);
            tiles::pair_rows(reinterpret_cast<const uint16_t *>(from + column), width, tokens, columns, pairs);
            multiply(rank, columns, length, length, columns, width, false, left, reinterpret_cast<const scalar *>(pairs), to + column);
        }
    });
}

}  // namespace

bool takes_low_rank(const at::Tensor &x, int64_t rank) {
    auto type = x.scalar_type();
    if (!x.is_cpu() || !x.is_contiguous() || x.numel() == 0 || rank < 1 || rank > greatest_rank || !has_micro_kernels(type)) return false;
    // Pairs need an even number of terms.
    return type == at::kFloat || (x.size(1) % 2 == 0 && rank % 2 == 0);
}

at::Tensor low_rank_down(const at::Tensor &x, const at::Tensor &m, double scale) {
    count_product(x.size(0), x.size(1), m.size(1));
    auto result = at::empty({x.size(0), m.size(1)}, x.options());
    if (x.scalar_type() == at::kFloat) down<float>(x, m, float(scale), result);
    else down<c10::BFloat16>(x, m, float(scale), result);
    return result;
}

void add_low_rank(at::Tensor &y, const at::Tensor &d, const at::Tensor &m) {
    count_product(y.size(0), d.size(1), y.size(1));
    auto left = d.contiguous();
    if (y.scalar_type() == at::kFloat) add<float>(y, left, m);
    else add<c10::BFloat16>(y, left, m);
}

at::Tensor low_rank_gradient(const at::Tensor &d, const at::Tensor &x) {
    count_product(d.size(1), x.size(0), x.size(1));
    auto result = at::empty({d.size(1), x.size(1)}, x.options().dtype(at::kFloat));
    if (x.scalar_type() == at::kFloat) gradient<float>(d, x, result);
    else gradient<c10::BFloat16>(d, x, result);
    return result;
}

}  // namespace lf
