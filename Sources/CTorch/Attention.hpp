// What the ways of computing attention share: segments, and what makes weights of products.
#pragma once
#include "Internal.hpp"

struct lf_segments {
    struct Segment {
        int64_t start, length, prefix;
        int64_t offset;  // tokens of the chain before this segment
    };
    std::vector<Segment> list;
    int64_t longest_chain = 0;
    int64_t held = 0, held_tokens = 0;  // the first segments that have no queries, and their tokens

    int64_t tokens() const { return list.empty() ? 0 : list.back().start + list.back().length; }
};

namespace lf {

/// `lf_attention_options`, checked.
struct AttentionOptions {
    double scale, softcap;
    int64_t window;
    at::Tensor sinks, slopes;  // [heads], or undefined

    AttentionOptions(const lf_attention_options &options, int64_t heads);

    /// A per-head tensor as the loops read it: contiguous, on the CPU, without gradient; undefined stays undefined.
    static at::Tensor per_head(const at::Tensor &x, at::ScalarType type);

    /// The weights of `products [heads, M, N]`, before any scale. `distance [M, N]` is the key's place less the query's; `hidden [M, N]`, unless undefined,
    /// is true where a query does not see a key.
    at::Tensor weights(const at::Tensor &products, const at::Tensor &distance, const at::Tensor &hidden) const;
};

/// Whether `block_attention` takes these: float32 and bfloat16 on a CPU that it suits.
bool takes_blocks(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v);
/// Causal attention in tiles on oneDNN's micro-kernels, with all options.
at::Tensor block_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options);

/// Causal attention by libtorch's fused CPU kernel. Queries, keys and values of one width; no window, cap, sinks or slopes.
at::Tensor fused_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, double scale);

/// All scores of a segment at once, by libtorch's operations: for all options, types and devices.
at::Tensor written_out_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments,
                                 const AttentionOptions &options);

/// `lf_segment_attention`, by whichever way suits.
at::Tensor segment_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options);

}  // namespace lf
