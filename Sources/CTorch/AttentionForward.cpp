// The forward of attention in tiles: an online softmax over blocks of keys, prefixes among them (Dao 2023, arXiv 2307.08691).
#include "AttentionWork.hpp"

#include <cmath>

namespace lf::attention {
namespace {

/// Neighbouring query blocks of a segment and heads that share a key-value head.
struct QueryUnit {
    int64_t segment, begin, end;  // blocks
    int64_t head, heads;
};

std::vector<QueryUnit> query_units(const AttentionLayout &layout, const Sizes &sizes, std::vector<int64_t> &costs) {
    int64_t most = sizes.d + sizes.e > 256 ? 4 : 8;  // blocks times heads, so that their state stays in the cache
    int64_t bundle = std::min(sizes.groups(), most), span = std::max<int64_t>(1, most / bundle);
    std::vector<QueryUnit> units;
    for (size_t s = layout.held; s < layout.segments.size(); ++s)
        for (int64_t begin = layout.first_query[s]; begin < layout.first_query[s + 1]; begin += span)
            for (int64_t kv_head = 0; kv_head < sizes.kv_heads; ++kv_head)
                for (int64_t h = 0; h < sizes.groups(); h += bundle) {
                    int64_t end = std::min(begin + span, layout.first_query[s + 1]), heads = std::min(bundle, sizes.groups() - h);
                    units.push_back({static_cast<int64_t>(s), begin, end, kv_head * sizes.groups() + h, heads});
                    int64_t seen = layout.queries[end - 1].place + layout.queries[end - 1].count;
                    if (layout.window > 0) seen = std::min(seen, layout.window + span * side);
                    costs.push_back((end - begin) * heads * seen);
                }
    return units;
}

template <typename scalar> class Forward {
    const Problem &problem;
    const Sizes sizes;
    const scalar *q, *k, *v;
    scalar *out;
    float *log_sums;  // [heads, tokens], powers of two

    struct State {
        scalar *queries;  // columns
        float *sums, *top, *total;
    };

    size_t scratch_size(const QueryUnit &unit) const {
        size_t state = side * (sizes.d * sizeof(scalar) + (sizes.e + 2) * 4) + 256;
        return (unit.end - unit.begin) * unit.heads * state + side * (sizes.d + sizes.e) * sizeof(scalar) + side * side * 6 + 1024;
    }

    void begin(State &state, const TokenBlock &block, int64_t head) const {
        Operands<scalar>::columns(q + (block.start * sizes.heads + head) * sizes.d, sizes.heads * sizes.d, block.count, sizes.d, state.queries);
        std::fill_n(state.sums, sizes.e * side, 0.0f);
        std::fill_n(state.top, side, -nothing_seen);
        std::fill_n(state.total, side, 0.0f);
    }

    void end(const State &state, const TokenBlock &block, int64_t head) const {
        alignas(64) float factors[side] = {};
        for (int64_t i = 0; i < block.count; ++i) {
            float top = state.top[i], total = state.total[i], share = 1;
            if (problem.sinks.defined()) {
                float sink = elements<float>(problem.sinks)[head] * per_ln2, greatest = std::max(top, sink);
                share = std::exp2(top - greatest);
                total = total * share + std::exp2(sink - greatest);
                top = greatest;
            }
            factors[i] = total == 0 ? 0 : share / total;
            log_sums[head * sizes.tokens + block.start + i] = total == 0 ? nothing_seen : top + std::log2(total);
        }
        const float *from = state.sums;
        finish(&from, 1, factors, block.count, sizes.e, out + (block.start * sizes.heads + head) * sizes.e, sizes.heads * sizes.e);
    }

    /// One tile: scores, weights, and the values' share.
    void add(State &state, const TokenBlock &query, const TokenBlock &key, int64_t head, const Rows<scalar> &keys, const scalar *values, float *scores,
             uint32_t *pairs) const {
        auto scoring = problem.of_head(head);
        Tile tile{key.count, padded(query.count), key.place, query.place, !problem.layout.sees_all(query, key)};
        multiply(tile.padded_keys(), tile.queries, sizes.d, keys.stride, side, side, false, keys.data, state.queries, scores);
        float factor = scoring.factor();
        if (tile.is_masked || !scoring.is_linear()) {
            shape_scores(scores, tile, scoring, nullptr);
            factor = 1;
        }
        alignas(64) float rescale[side];
        constexpr bool has_pairs = Operands<scalar>::pair == 2;
        if (soften(scores, tile, factor, state.top, state.total, rescale, has_pairs ? pairs : nullptr))
            scale_columns(state.sums, sizes.e, tile.queries, rescale);
        const auto *weights = has_pairs ? reinterpret_cast<const scalar *>(pairs) : reinterpret_cast<const scalar *>(scores);
        multiply(sizes.e, tile.queries, tile.padded_keys(), side, side, side, true, values, weights, state.sums);
    }

public:
    Forward(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::Tensor &out, at::Tensor &log_sums)
        : problem(problem), sizes(q, k, v), q(elements<scalar>(q)), k(elements<scalar>(k)), v(elements<scalar>(v)),
          out(mutable_elements<scalar>(out)), log_sums(mutable_elements<float>(log_sums)) {}

    void run(const QueryUnit &unit) const {
        const auto &layout = problem.layout;
        Scratch scratch(scratch_size(unit));
        int64_t count = unit.end - unit.begin, kv_head = unit.head / sizes.groups();
        std::vector<State> states(count * unit.heads);
        for (int64_t i = 0; i < count * unit.heads; ++i) {
            states[i] = {scratch.take<scalar>(sizes.d * side), scratch.take<float>(sizes.e * side), scratch.take<float>(side), scratch.take<float>(side)};
            begin(states[i], layout.queries[unit.begin + i / unit.heads], unit.head + i % unit.heads);
        }
        auto *spare = scratch.take<scalar>(side * sizes.d), *values = scratch.take<scalar>(side * sizes.e);
        auto *scores = scratch.take<float>(side * side);
        auto *pairs = scratch.take<uint32_t>(side * side / 2);
        const auto &last = layout.queries[unit.end - 1];
        for (int64_t s : layout.chain(unit.segment))
            for (int64_t b = layout.first[s]; b < layout.first[s + 1] && layout.blocks[b].place < last.place + last.count; ++b) {
                const auto &key = layout.blocks[b];
                auto sees = [&](int64_t i) { return layout.sees(layout.queries[unit.begin + i], key); };
                int64_t i = 0;
                while (i < count && !sees(i)) ++i;
                if (i == count) continue;
                Rows<scalar> keys(k + (key.start * sizes.kv_heads + kv_head) * sizes.d, sizes.kv_heads * sizes.d, key.count, sizes.d, spare);
                Operands<scalar>::turned(v + (key.start * sizes.kv_heads + kv_head) * sizes.e, sizes.kv_heads * sizes.e, key.count, sizes.e, values);
                for (; i < count && sees(i); ++i)
                    for (int64_t h = 0; h < unit.heads; ++h)
                        add(states[i * unit.heads + h], layout.queries[unit.begin + i], key, unit.head + h, keys, values, scores, pairs);
            }
        for (int64_t i = 0; i < count * unit.heads; ++i) end(states[i], layout.queries[unit.begin + i / unit.heads], unit.head + i % unit.heads);
        end_of_products(c10::CppTypeToScalarType<scalar>::value);
    }
};

template <typename scalar>
void attend(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::Tensor &out, at::Tensor &log_sums) {
    Forward<scalar> work(problem, q, k, v, out, log_sums);
    std::vector<int64_t> costs;
    auto units = query_units(problem.layout, Sizes(q, k, v), costs);
    for_units(costs, [&](int64_t unit) { work.run(units[unit]); });
}

}  // namespace

void attend_in_blocks(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::Tensor &out, at::Tensor &log_sums) {
    if (q.scalar_type() == at::kFloat) attend<float>(problem, q, k, v, out, log_sums);
    else attend<c10::BFloat16>(problem, q, k, v, out, log_sums);
}

}  // namespace lf::attention
