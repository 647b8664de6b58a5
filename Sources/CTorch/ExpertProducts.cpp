// A library's product of 32 rows packs the whole matrix anew; the micro-kernels read it where it lies. Tokens stand in columns going forward, so that the
// matrix is the operand whose rows are read as they are.
#include "ExpertProducts.hpp"
#include "Profile.hpp"
#include "MicroKernels.hpp"
#include "Parallel.hpp"

#include <algorithm>

namespace lf {
namespace {

/// Rows of a matrix, and columns of tokens, that a product takes at once.
constexpr int64_t side = 64;
/// Columns of a gradient that one task forms, and of the matrix's rows that it adds up at once.
constexpr int64_t wide = 512;

int64_t ceiling(int64_t count, int64_t of) { return (count + of - 1) / of; }
/// To whole vectors.
int64_t padded(int64_t count) { return ceiling(count, 16) * 16; }

/// Up to `side` of a group's rows, and where their columns begin in the packed input.
struct Chunk {
    int64_t row, rows, columns, offset;
};

/// The chunks of each group, in order.
struct Chunks {
    std::vector<std::vector<Chunk>> of;
    int64_t packed = 0;

    Chunks(const std::vector<RowGroup> &groups, int64_t width) {
        for (const auto &group : groups) {
            auto &list = of.emplace_back();
            for (int64_t done = 0; done < group.rows; done += side) {
                int64_t rows = std::min(side, group.rows - done);
                list.push_back({group.row + done, rows, padded(rows), packed});
                packed += padded(rows) * width;
            }
        }
    }
};

/// `to[column][row] = from[row][column]`, zeros behind the last row.
void turn(const float *from, int64_t rows, int64_t width, int64_t stride, float *to) {
    constexpr int64_t part = 16;
    for (int64_t begin = 0; begin < width; begin += part) {
        int64_t end = std::min(width, begin + part);
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t column = begin; column < end; ++column) to[column * stride + row] = from[row * width + column];
        for (int64_t column = begin; column < end; ++column) std::fill(to + column * stride + rows, to + (column + 1) * stride, 0.0f);
    }
}

/// Tasks take long enough to be shared one by one.
template <typename Body> void for_tasks(int64_t count, Body &&body) {
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) body(task);
        end_of_products(at::kFloat);
    });
}

void count_products(const std::vector<RowGroup> &groups, int64_t in, int64_t out) {
    for (const auto &group : groups) count_operations(2.0 * double(group.rows) * double(in) * double(out));
}

}  // namespace

bool takes_expert_products(const at::Tensor &x, const at::Tensor &w) {
    return x.is_cpu() && x.scalar_type() == at::kFloat && w.scalar_type() == at::kFloat && x.is_contiguous() && w.is_contiguous() &&
           has_micro_kernels(at::kFloat);
}

void expert_outputs(const std::vector<RowGroup> &groups, const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, at::Tensor &y) {
    int64_t in = w.size(2), out = w.size(1), blocks = ceiling(out, side);
    count_products(groups, in, out);
    Chunks chunks(groups, in);
    auto packed = at::empty({chunks.packed}, x.options());
    const float *input = elements<float>(x), *weights = elements<float>(w), *added = bias.defined() ? elements<float>(bias) : nullptr;
    float *columns = mutable_elements<float>(packed), *output = mutable_elements<float>(y);
    parallel_for(groups.size(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t group = begin; group < end; ++group)
            for (const auto &chunk : chunks.of[group]) turn(input + chunk.row * in, chunk.rows, in, chunk.columns, columns + chunk.offset);
    });
    for_tasks(static_cast<int64_t>(groups.size()) * blocks, [&](int64_t task) {
        const auto &group = groups[task / blocks];
        int64_t first = group.matrix * out + task % blocks * side, place = task % blocks * side, rows = std::min(side, out - place);
        alignas(64) float tile[side * side];
        for (const auto &chunk : chunks.of[task / blocks]) {
            multiply(rows, chunk.columns, in, in, chunk.columns, chunk.columns, false, weights + first * in, columns + chunk.offset, tile);
            for (int64_t token = 0; token < chunk.rows; ++token) {
                float *to = output + (chunk.row + token) * out + place;
                for (int64_t row = 0; row < rows; ++row) to[row] = tile[row * chunk.columns + token] + (added ? added[first + row] : 0.0f);
            }
        }
    });
}

void expert_input_gradients(const std::vector<RowGroup> &groups, const at::Tensor &dy, const at::Tensor &w, at::Tensor &dx) {
    int64_t in = w.size(2), out = w.size(1), parts = ceiling(in, wide);
    count_products(groups, in, out);
    const float *gradients = elements<float>(dy), *weights = elements<float>(w);
    float *output = mutable_elements<float>(dx);
    for_tasks(static_cast<int64_t>(groups.size()) * parts, [&](int64_t task) {
        const auto &group = groups[task / parts];
        int64_t first = task % parts * wide, columns = std::min(wide, in - first);
        for (int64_t k = 0; k < out; k += side)
            for (int64_t row = group.row; row < group.row + group.rows; row += side)
                multiply(
                    std::min(side, group.row + group.rows - row), columns, std::min(side, out - k), out, in, in, k > 0, gradients + row * out + k,
                    weights + (group.matrix * out + k) * in + first, output + row * in + first);
    });
}

void expert_weight_gradients(const std::vector<RowGroup> &groups, const at::Tensor &dy, const at::Tensor &x, at::Tensor &dw) {
    int64_t in = x.size(1), out = dy.size(1), blocks = ceiling(out, side);
    count_products(groups, in, out);
    const float *gradients = elements<float>(dy), *input = elements<float>(x);
    float *output = mutable_elements<float>(dw);
    for_tasks(static_cast<int64_t>(groups.size()) * blocks, [&](int64_t task) {
        const auto &group = groups[task / blocks];
        int64_t first = task % blocks * side, rows = std::min(side, out - first), count = group.rows;
        alignas(64) float turned[side * few_rows_per_group];
        for (int64_t token = 0; token < count; ++token)
            for (int64_t row = 0; row < rows; ++row) turned[row * count + token] = gradients[(group.row + token) * out + first + row];
        for (int64_t column = 0; column < in; column += 2 * wide)
            multiply(
                rows, std::min(2 * wide, in - column), count, count, in, in, false, turned, input + group.row * in + column,
                output + (group.matrix * out + first) * in + column);
    });
}

}  // namespace lf
