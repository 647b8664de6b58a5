// How a stream of segments is cut into tiles of attention and into units of work.
#pragma once
#include "Attention.hpp"

namespace lf {

/// Up to `tiles::side` consecutive tokens of one segment, as keys or as queries.
struct TokenBlock {
    int64_t start, place, count;  // among the rows of keys, or of queries; along the chain; tokens
    int64_t segment;
};

/// Key blocks of one tree of segments whose gradients one unit of the backward forms, for one key-value head.
struct KeyRange {
    std::vector<int64_t> blocks;
    int64_t tree, index;  // `index` counts the ranges of the tree
};

/// Segments as blocks. Everything here follows from the segments and the window alone, so that results do not change with the number of threads.
class AttentionLayout {
public:
    std::vector<lf_segments::Segment> segments;
    std::vector<TokenBlock> blocks;            // of keys, in the stream's order
    std::vector<int64_t> first;                // the first block of each segment, and one past the last
    std::vector<TokenBlock> queries;           // in the same order
    std::vector<int64_t> first_query;          // as `first`
    int64_t window;
    int64_t held;  // segments before the first query

    AttentionLayout(const lf_segments &from, int64_t window);
    /// The one that all layers of this window share.
    static std::shared_ptr<const AttentionLayout> of(const lf_segments &segments, int64_t window);

    /// The segments that one continues, from the first on, itself last.
    std::vector<int64_t> chain(int64_t segment) const;
    /// Whether any query of `query` sees a key of `key`, which lies on its chain.
    bool sees(const TokenBlock &query, const TokenBlock &key) const;
    /// Whether every query sees every key.
    bool sees_all(const TokenBlock &query, const TokenBlock &key) const;
    /// The blocks of queries that see something of a block of keys, those of its own segment first.
    std::vector<int64_t> viewers(int64_t block) const;
    /// Cuts every tree's key blocks into ranges of about equal work: few for short trees, up to four for long ones where there are few trees to share out.
    std::vector<KeyRange> key_ranges(int64_t kv_heads) const;

private:
    std::vector<std::vector<int64_t>> descendants;  // of each segment, without itself
};

/// What the backward looks up of a layout, for a number of key-value heads.
struct BackwardLayout {
    std::vector<KeyRange> ranges;
    std::vector<int64_t> range_counts;       // of each tree
    std::vector<int64_t> tree_of, place_of;  // of each block of queries: its tree, and the first of its partial gradients
    std::vector<std::vector<int64_t>> viewers;  // of each block of keys
    int64_t partial_count = 0;

    BackwardLayout(const AttentionLayout &layout, int64_t kv_heads, SharedTables &tables);
};

}  // namespace lf
