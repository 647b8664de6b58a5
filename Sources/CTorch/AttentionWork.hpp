// What the forward and the backward of attention in tiles share.
#pragma once
#include "AttentionLayout.hpp"
#include "AttentionTiles.hpp"
#include "MicroKernels.hpp"
#include "Parallel.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/ivalue.h>
#include <algorithm>
#include <atomic>
#include <numeric>

namespace lf::attention {

using namespace tiles;

/// Segments and options, as the loops take them.
struct Problem : torch::CustomClassHolder {
    std::shared_ptr<SharedTables> tables;
    std::shared_ptr<const AttentionLayout> shared;
    const AttentionLayout &layout;
    Scoring scoring;
    at::Tensor sinks, slopes;  // float32 on the CPU, or undefined

    Problem(const lf_segments &segments, const AttentionOptions &options)
        : tables(segments.tables), shared(AttentionLayout::of(segments, options.window >= segments.longest_chain ? 0 : options.window)), layout(*shared),
          scoring{float(options.scale), float(options.softcap), 0, layout.window},
          sinks(AttentionOptions::per_head(options.sinks, at::kFloat)), slopes(AttentionOptions::per_head(options.slopes, at::kFloat)) {}

    std::shared_ptr<const BackwardLayout> backward_layout(int64_t kv_heads) const {
        auto name = "backward, window " + std::to_string(layout.window) + ", heads " + std::to_string(kv_heads);
        return tables->get<BackwardLayout>(name, [&] { return std::make_shared<BackwardLayout>(layout, kv_heads, *tables); });
    }

    Scoring of_head(int64_t head) const {
        auto result = scoring;
        if (slopes.defined()) result.slope = elements<float>(slopes)[head];
        return result;
    }
};

struct Sizes {
    int64_t tokens, heads, kv_heads, d, e;
    int64_t groups() const { return heads / kv_heads; }
    Sizes(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) : tokens(q.size(0)), heads(q.size(1)), kv_heads(k.size(1)), d(q.size(2)), e(v.size(2)) {}
};

/// Memory of one thread that goes on from unit to unit; each piece begins on a cache line.
class Scratch {
    static constexpr size_t line = 64;
    std::vector<char> &memory;
    size_t used = 0;

    static std::vector<char> &own() {
        static thread_local std::vector<char> memory;
        return memory;
    }

public:
    explicit Scratch(size_t bytes) : memory(own()) {
        if (memory.size() < bytes + line) memory.resize(bytes + line);
        used = (line - reinterpret_cast<uintptr_t>(memory.data()) % line) % line;
    }
    template <typename T> T *take(size_t count) {
        auto *result = reinterpret_cast<T *>(memory.data() + used);
        used += (count * sizeof(T) + line - 1) / line * line;
        TORCH_CHECK(used <= memory.size(), "attention's scratch memory is too small");
        return result;
    }
};

/// Runs `body(unit)` for every unit; threads take the next one when they are done, the costliest first.
template <typename Body> void for_units(const std::vector<int64_t> &costs, const Body &body) {
    std::vector<int64_t> order(costs.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return costs[a] > costs[b]; });
    std::atomic<size_t> next{0};
    parallel_for(std::min<int64_t>(at::get_num_threads(), costs.size()), 1, [&](int64_t, int64_t) {
        for (size_t i; (i = next++) < order.size();) body(order[i]);
    });
}

/// What differs between the types: how operands lie.
template <typename scalar> struct Operands;
template <> struct Operands<float> {
    static constexpr int64_t pair = 1;  // numbers of a word
    /// Columns of a product from rows: `[width][side]`.
    static void columns(const float *from, int64_t stride, int64_t rows, int64_t width, float *to) {
        transpose_words(reinterpret_cast<const uint32_t *>(from), stride, rows, width, reinterpret_cast<uint32_t *>(to));
    }
    /// The left side of a product from rows: `[width][side]`.
    static void turned(const float *from, int64_t stride, int64_t rows, int64_t width, float *to) { columns(from, stride, rows, width, to); }
};
template <> struct Operands<c10::BFloat16> {
    static constexpr int64_t pair = 2;
    static void columns(const c10::BFloat16 *from, int64_t stride, int64_t rows, int64_t width, c10::BFloat16 *to) {
        transpose_words(reinterpret_cast<const uint32_t *>(from), stride / 2, rows, width / 2, reinterpret_cast<uint32_t *>(to));
    }
    static void turned(const c10::BFloat16 *from, int64_t stride, int64_t rows, int64_t width, c10::BFloat16 *to) {
        transpose_halves(reinterpret_cast<const uint16_t *>(from), stride, rows, width, reinterpret_cast<uint16_t *>(to));
    }
};

/// Rows as the left side of a product: where they lie if they fill whole vectors, else copied, zeros behind them.
template <typename scalar> struct Rows {
    const scalar *data;
    int64_t stride;

    Rows(const scalar *from, int64_t from_stride, int64_t rows, int64_t width, scalar *spare) : data(from), stride(from_stride) {
        if (rows == padded(rows)) return;
        for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_stride, width, spare + i * width);
        std::fill(spare + rows * width, spare + padded(rows) * width, scalar(0));
        data = spare;
        stride = width;
    }
};

/// The share of every head's queries in all values: `out [tokens, heads, e]` and its softmax's logarithms `log_sums [heads, tokens]`, powers of two.
void attend_in_blocks(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::Tensor &out, at::Tensor &log_sums);
/// Gradients; `deltas [heads, tokens]` receives the products of `out` and its gradient. Queries from `learned` on have none.
void attend_in_blocks_backward(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
                               const at::Tensor &dy, const at::Tensor &log_sums, int64_t learned, at::Tensor &dq, at::Tensor &dk, at::Tensor &dv, at::Tensor &deltas);

}  // namespace lf::attention
