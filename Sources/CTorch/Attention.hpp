// What the ways of computing attention share: segments, and what makes weights of products.
#pragma once
#include "Internal.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace lf {

/// Tables that layers read of a stream's segments. The first layer that asks has one built, and all others read the same, in the backward pass too.
class SharedTables {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<void>> tables;

public:
    /// How many tables were built of these segments; their constructors count.
    std::atomic<int64_t> built = 0;

    /// \param name Tells tables of different types and arguments apart.
    /// \param make Returns a `std::shared_ptr` of a new table.
    template <typename Table, typename Make> std::shared_ptr<Table> get(const std::string &name, const Make &make) {
        std::lock_guard lock(mutex);
        auto &table = tables[name];
        if (!table) table = make();
        return std::static_pointer_cast<Table>(table);
    }
};

}  // namespace lf

struct lf_segments {
    struct Segment {
        int64_t start, length, prefix;
        int64_t offset;  // tokens of the chain before this segment
    };
    /// Consecutive rows of one segment that queries come from.
    struct Run {
        int64_t start, length, segment;
    };
    std::vector<Segment> list;
    std::vector<Run> queries;  // in the stream's order
    bool asks_all = true;      // whether these are all rows that are not held
    int64_t longest_chain = 0;
    int64_t held = 0, held_tokens = 0;  // the first segments that have no queries, and their tokens
    /// Outlives the segments where a backward pass still reads it.
    std::shared_ptr<lf::SharedTables> tables = std::make_shared<lf::SharedTables>();

    int64_t tokens() const { return list.empty() ? 0 : list.back().start + list.back().length; }
    int64_t query_tokens() const {
        int64_t count = 0;
        for (const auto &run : queries) count += run.length;
        return count;
    }
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

/// Off the CPU: all segments by a few kernels, whatever their number; scores in float32, or float64 for float64. No cap or sinks.
at::Tensor batched_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options);

/// All scores of a segment at once, by libtorch's operations: for all options, types and devices.
at::Tensor written_out_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments,
                                 const AttentionOptions &options);

/// `lf_segment_attention`, by whichever way suits. Where few rows ask, the tiles compute these alone; the other ways compute all and give these.
at::Tensor segment_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options);

}  // namespace lf
