// Keys and values in blocks that never move, and attention of single tokens over them.
#pragma once
#include "Attention.hpp"

struct lf_kv_cache {
    struct Layer {
        std::vector<at::Tensor> keys, values;  // slabs `[blocks, kvHeads, blockSize, d]`
        std::vector<char *> key_blocks, value_blocks;
    };
    int64_t block_size;
    std::vector<int64_t> slabs;  // blocks of each slab
    int64_t blocks = 0;
    std::vector<Layer> layers;

    /// Gives a layer the slabs that it lacks, for heads as `k` and `v` `[…, kvHeads, d]` have them; what it holds stays where it is.
    void complete(Layer &layer, const at::Tensor &k, const at::Tensor &v) const;

    /// The slab of a block and its place there.
    std::pair<size_t, int64_t> place(int64_t block) const {
        size_t slab = 0;
        while (block >= slabs[slab]) block -= slabs[slab++];
        return {slab, block};
    }

    /// Where a head's number `slot` lies in blocks whose rows have `width` bytes.
    char *row(const std::vector<char *> &at, int64_t slot, int64_t head, size_t width) const {
        return at[slot / block_size] + (head * block_size + slot % block_size) * width;
    }
};

namespace lf {

/// Which cached tokens each of `count` rows sees: the last `window` of the first `lengths[i]` of the blocks from `blocks[starts[i]]` on.
struct CachedRows {
    const int64_t *lengths, *starts;
    const int32_t *blocks;
    int64_t count, window;

    int64_t first(int64_t row) const { return window > 0 ? std::max<int64_t>(0, lengths[row] - window) : 0; }
    /// Throws where a row sees nothing, or a block that the layer does not have.
    void check(const lf_kv_cache::Layer &layer, int64_t block_size) const;
};

/// Attention of single tokens over a layer of the cache; `scalar` is float, double or bfloat16.
template <typename scalar> class CachedAttention {
    using real = accumulated<scalar>;
    const lf_kv_cache &cache;
    const lf_kv_cache::Layer &layer;
    CachedRows rows;
    at::Tensor sinks, slopes;
    real scale, softcap;
    int64_t kv_heads, groups, key_dim, value_dim, longest = 0;

public:
    /// \param heads Those of queries.
    CachedAttention(const lf_kv_cache &cache, const lf_kv_cache::Layer &layer, const CachedRows &rows, int64_t heads, const AttentionOptions &options);

    /// One for each row and key-value head.
    int64_t tasks() const { return rows.count * kv_heads; }
    /// Does tasks `[begin, end)`: `q [rows, heads, d]` gives `out [rows, heads, e]`.
    void run(const scalar *q, scalar *out, int64_t begin, int64_t end) const;
};

}  // namespace lf
