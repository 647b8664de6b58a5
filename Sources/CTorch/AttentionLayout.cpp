#include "AttentionLayout.hpp"

#include "AttentionTiles.hpp"
#include <algorithm>
#include <numeric>

namespace lf {

AttentionLayout::AttentionLayout(const lf_segments &from, int64_t window) : segments(from.list), window(window), held(from.held), descendants(from.list.size()) {
    for (int64_t i = 0; i < static_cast<int64_t>(segments.size()); ++i) {
        const auto &segment = segments[i];
        first.push_back(blocks.size());
        for (int64_t done = 0; done < segment.length; done += tiles::side)
            blocks.push_back({segment.start + done, segment.offset + done, std::min(tiles::side, segment.length - done), i});
        for (int64_t p = segment.prefix; p >= 0; p = segments[p].prefix) descendants[p].push_back(i);
    }
    first.push_back(blocks.size());
    first_query.resize(segments.size() + 1);
    int64_t row = 0;
    for (const auto &run : from.queries) {
        const auto &segment = segments[run.segment];
        for (int64_t done = 0; done < run.length; done += tiles::side, ++first_query[run.segment + 1])
            queries.push_back({row + done, segment.offset + run.start - segment.start + done, std::min(tiles::side, run.length - done), run.segment});
        row += run.length;
    }
    std::partial_sum(first_query.begin(), first_query.end(), first_query.begin());
    ++from.tables->built;
}

std::shared_ptr<const AttentionLayout> AttentionLayout::of(const lf_segments &segments, int64_t window) {
    return segments.tables->get<AttentionLayout>("attention, window " + std::to_string(window),
                                                 [&] { return std::make_shared<AttentionLayout>(segments, window); });
}

std::vector<int64_t> AttentionLayout::chain(int64_t segment) const {
    std::vector<int64_t> result;
    for (int64_t i = segment; i >= 0; i = segments[i].prefix) result.push_back(i);
    std::reverse(result.begin(), result.end());
    return result;
}

bool AttentionLayout::sees(const TokenBlock &query, const TokenBlock &key) const {
    bool is_late = key.place > query.place + query.count - 1;
    return !is_late && (window <= 0 || query.place - (key.place + key.count - 1) < window);
}

bool AttentionLayout::sees_all(const TokenBlock &query, const TokenBlock &key) const {
    bool is_early = key.place + key.count - 1 <= query.place;
    return is_early && (window <= 0 || query.place + query.count - 1 - key.place < window);
}

std::vector<int64_t> AttentionLayout::viewers(int64_t block) const {
    std::vector<int64_t> result;
    int64_t segment = blocks[block].segment;
    auto add = [&](int64_t s) {
        for (int64_t i = first_query[s]; i < first_query[s + 1]; ++i)
            if (sees(queries[i], blocks[block])) result.push_back(i);
    };
    add(segment);
    for (int64_t s : descendants[segment]) add(s);
    return result;
}

std::vector<KeyRange> AttentionLayout::key_ranges(int64_t kv_heads) const {
    std::vector<int64_t> tree(segments.size());
    std::vector<std::vector<int64_t>> members;
    for (size_t i = 0; i < segments.size(); ++i) {
        tree[i] = segments[i].prefix < 0 ? members.size() : tree[segments[i].prefix];
        if (segments[i].prefix < 0) members.emplace_back();
        for (int64_t block = first[i]; block < first[i + 1]; ++block) members[tree[i]].push_back(block);
    }
    bool are_many = static_cast<int64_t>(members.size()) * kv_heads >= 32;
    std::vector<KeyRange> result;
    for (size_t t = 0; t < members.size(); ++t) {
        int64_t count = are_many ? 1 : std::clamp<int64_t>(members[t].size() / 4, 1, 4);
        std::vector<int64_t> work;
        int64_t all = 0, done = 0, index = 0;
        for (int64_t block : members[t]) {
            work.push_back(std::max<int64_t>(1, viewers(block).size()));
            all += work.back();
        }
        result.push_back({{}, static_cast<int64_t>(t), index});
        for (size_t i = 0; i < members[t].size(); ++i) {
            if (done * count >= all * (index + 1) && index + 1 < count) result.push_back({{}, static_cast<int64_t>(t), ++index});
            result.back().blocks.push_back(members[t][i]);
            done += work[i];
        }
    }
    return result;
}

BackwardLayout::BackwardLayout(const AttentionLayout &layout, int64_t kv_heads, SharedTables &tables) : ranges(layout.key_ranges(kv_heads)) {
    std::vector<int64_t> tree_of_segment(layout.segments.size());
    for (const auto &range : ranges) {
        range_counts.resize(range.tree + 1);
        range_counts[range.tree] = range.index + 1;
        for (int64_t block : range.blocks) tree_of_segment[layout.blocks[block].segment] = range.tree;
    }
    for (const auto &query : layout.queries) {
        tree_of.push_back(tree_of_segment[query.segment]);
        place_of.push_back(partial_count);
        partial_count += range_counts[tree_of.back()];
    }
    for (size_t block = 0; block < layout.blocks.size(); ++block) viewers.push_back(layout.viewers(block));
    ++tables.built;
}

}  // namespace lf
