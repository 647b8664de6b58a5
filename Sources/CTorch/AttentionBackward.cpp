// The backward of attention in tiles: one unit of work forms the gradients of a range of keys and its share of the queries'.
#include "AttentionWork.hpp"

namespace lf::attention {
namespace {

/// What the backward reads of a query block and head: queries and gradients as columns and as the right side of sums over queries, and numbers per query.
template <typename scalar> struct QueryPackage {
    scalar *queries, *gradients;            // `[d][side]`, `[e][side]`
    scalar *query_rows, *gradient_rows;     // `[count][d]`, `[count][e]`, bfloat16 in pairs
    float *log_sums, *deltas;               // [side]

    static size_t size(const Sizes &sizes) { return side * ((sizes.d + sizes.e) * 2 * sizeof(scalar) + 2 * sizeof(float)); }

    QueryPackage(char *memory, const Sizes &sizes) {
        log_sums = reinterpret_cast<float *>(memory);
        deltas = log_sums + side;
        queries = reinterpret_cast<scalar *>(deltas + side);
        gradients = queries + side * sizes.d;
        query_rows = gradients + side * sizes.e;
        gradient_rows = query_rows + side * sizes.d;
    }
};

template <typename scalar> class Backward {
    const Problem &problem;
    const Sizes sizes;
    const scalar *q, *k, *v, *out, *dy;
    const float *log_sums;
    scalar *dq, *dk, *dv;
    float *deltas;
    std::shared_ptr<const BackwardLayout> plan;
    const std::vector<KeyRange> &ranges;
    const std::vector<int64_t> &range_counts, &tree_of, &place_of;
    const std::vector<std::vector<int64_t>> &viewers;
    const int64_t partial_count;
    const int64_t learned;  // rows of queries that have a gradient, the first ones
    // Key-value heads are taken a few at a time where all would need too much memory.
    int64_t first_head = 0, head_count = 0;
    at::Tensor packages, partials;
    std::vector<uint8_t> is_touched;

    static constexpr int64_t memory = 256 << 20;

    bool learns(int64_t block) const { return problem.layout.queries[block].start < learned; }

    QueryPackage<scalar> package(int64_t block, int64_t head) const {
        return QueryPackage<scalar>(static_cast<char *>(packages.mutable_data_ptr()) + (block * head_count + head - first_head) * QueryPackage<scalar>::size(sizes), sizes);
    }
    int64_t partial_index(int64_t block, int64_t range, int64_t head) const { return (place_of[block] + range) * head_count + head - first_head; }
    float *partial(int64_t index) const { return mutable_elements<float>(partials) + index * sizes.d * side; }

    void prepare(int64_t block, int64_t head) const {
        const auto &it = problem.layout.queries[block];
        auto into = package(block, head);
        const auto *query = q + (it.start * sizes.heads + head) * sizes.d;
        const auto *gradient = dy + (it.start * sizes.heads + head) * sizes.e, *result = out + (it.start * sizes.heads + head) * sizes.e;
        int64_t query_stride = sizes.heads * sizes.d, stride = sizes.heads * sizes.e;
        Operands<scalar>::columns(query, query_stride, it.count, sizes.d, into.queries);
        Operands<scalar>::columns(gradient, stride, it.count, sizes.e, into.gradients);
        if constexpr (Operands<scalar>::pair == 2) {
            pair_rows(reinterpret_cast<const uint16_t *>(query), query_stride, it.count, sizes.d, reinterpret_cast<uint32_t *>(into.query_rows));
            pair_rows(reinterpret_cast<const uint16_t *>(gradient), stride, it.count, sizes.e, reinterpret_cast<uint32_t *>(into.gradient_rows));
        } else {
            Rows<scalar>(query, query_stride, it.count, sizes.d, into.query_rows);
            Rows<scalar>(gradient, stride, it.count, sizes.e, into.gradient_rows);
        }
        std::fill_n(into.deltas, side, 0.0f);
        row_products(gradient, result, stride, it.count, sizes.e, into.deltas);
        std::fill_n(into.log_sums, side, nothing_seen);
        std::copy_n(log_sums + head * sizes.tokens + it.start, it.count, into.log_sums);
        std::copy_n(into.deltas, it.count, deltas + head * sizes.tokens + it.start);
    }

    /// The rows of a block's queries or gradients as the right side of a product.
    void right_side(const scalar *whole, scalar *packed, const TokenBlock &block, int64_t head, int64_t width, const scalar *&data, int64_t &stride) const {
        bool lies_ready = Operands<scalar>::pair == 1 && block.count == padded(block.count);
        data = lies_ready ? whole + (block.start * sizes.heads + head) * width : packed;
        stride = lies_ready ? sizes.heads * width : width;
    }

    struct Buffers {
        scalar *keys, *values, *turned_keys;
        float *scores, *gradients, *cap_derivative;
        scalar *weights, *rounded, *pairs;  // bfloat16
        float *key_sums, *value_sums;

        static size_t size(const Sizes &sizes) {
            return side * (sizes.d * 2 + sizes.e) * sizeof(scalar) + side * side * (3 * 4 + 3 * 2) + side * (sizes.d + sizes.e) * 4 + 1024;
        }
        Buffers(Scratch &scratch, const Sizes &sizes)
            : keys(scratch.take<scalar>(side * sizes.d)), values(scratch.take<scalar>(side * sizes.e)), turned_keys(scratch.take<scalar>(side * sizes.d)),
              scores(scratch.take<float>(side * side)), gradients(scratch.take<float>(side * side)), cap_derivative(scratch.take<float>(side * side)),
              weights(scratch.take<scalar>(Operands<scalar>::pair == 2 ? side * side : 0)),
              rounded(scratch.take<scalar>(Operands<scalar>::pair == 2 ? side * side : 0)),
              pairs(scratch.take<scalar>(Operands<scalar>::pair == 2 ? side * side : 0)), key_sums(scratch.take<float>(side * sizes.d)),
              value_sums(scratch.take<float>(side * sizes.e)) {}
    };

    /// One tile's share of all three gradients.
    void add(const KeyRange &range, const TokenBlock &key, int64_t query_block, int64_t head, const Rows<scalar> &keys, const Rows<scalar> &values,
             Buffers &at, bool adds) {
        const auto &query = problem.layout.queries[query_block];
        auto from = package(query_block, head);
        auto scoring = problem.of_head(head);
        Tile tile{key.count, padded(query.count), key.place, query.place, !problem.layout.sees_all(query, key)};
        int64_t rows = tile.padded_keys(), columns = tile.queries, stride;
        const scalar *right;
        multiply(rows, columns, sizes.d, keys.stride, side, side, false, keys.data, from.queries, at.scores);
        float factor = scoring.factor();
        bool is_capped = scoring.softcap > 0;
        if (tile.is_masked || !scoring.is_linear()) {
            shape_scores(at.scores, tile, scoring, is_capped ? at.cap_derivative : nullptr);
            factor = 1;
        }
        multiply(rows, columns, sizes.e, values.stride, side, side, false, values.data, from.gradients, at.gradients);
        const auto *cap_derivative = is_capped ? at.cap_derivative : nullptr;
        const scalar *weights, *left, *columnwise;
        if constexpr (Operands<scalar>::pair == 2) {
            differentiate(at.scores, at.gradients, tile, factor, from.log_sums, from.deltas, cap_derivative, reinterpret_cast<uint16_t *>(at.weights),
                          reinterpret_cast<uint16_t *>(at.rounded), reinterpret_cast<uint32_t *>(at.pairs));
            weights = at.weights, left = at.rounded, columnwise = at.pairs;
        } else {
            differentiate(at.scores, at.gradients, tile, factor, from.log_sums, from.deltas, cap_derivative);
            weights = at.scores, left = columnwise = at.gradients;
        }
        right_side(dy, from.gradient_rows, query, head, sizes.e, right, stride);
        multiply(rows, sizes.e, columns, side, stride, sizes.e, adds, weights, right, at.value_sums);
        right_side(q, from.query_rows, query, head, sizes.d, right, stride);
        multiply(rows, sizes.d, columns, side, stride, sizes.d, adds, left, right, at.key_sums);
        int64_t index = partial_index(query_block, range.index, head);
        multiply(sizes.d, columns, rows, side, side, side, is_touched[index], at.turned_keys, columnwise, partial(index));
        is_touched[index] = 1;
    }

    void run(const KeyRange &range, int64_t kv_head) {
        Scratch scratch(Buffers::size(sizes));
        Buffers at(scratch, sizes);
        for (int64_t block : range.blocks) {
            const auto &key = problem.layout.blocks[block];
            int64_t stride = sizes.kv_heads * sizes.d, value_stride = sizes.kv_heads * sizes.e;
            int64_t place = (key.start * sizes.kv_heads + kv_head) * sizes.d, value_place = (key.start * sizes.kv_heads + kv_head) * sizes.e;
            Rows<scalar> keys(k + place, stride, key.count, sizes.d, at.keys), values(v + value_place, value_stride, key.count, sizes.e, at.values);
            Operands<scalar>::turned(k + place, stride, key.count, sizes.d, at.turned_keys);
            bool adds = false;
            for (int64_t query : viewers[block]) {
                if (!learns(query)) continue;
                for (int64_t h = 0; h < sizes.groups(); ++h, adds = true) add(range, key, query, kv_head * sizes.groups() + h, keys, values, at, adds);
            }
            if (!adds) {
                std::fill_n(at.key_sums, key.count * sizes.d, 0.0f);
                std::fill_n(at.value_sums, key.count * sizes.e, 0.0f);
            }
            write_rows(at.key_sums, problem.scoring.scale, key.count, sizes.d, dk + place, stride);
            write_rows(at.value_sums, 1, key.count, sizes.e, dv + value_place, value_stride);
        }
        end_of_products(c10::CppTypeToScalarType<scalar>::value);
    }

    /// Sums the ranges' shares of a query block's gradients.
    void gather(int64_t block, int64_t head) const {
        const auto &it = problem.layout.queries[block];
        const float *from[4];
        int64_t count = 0;
        for (int64_t range = 0; range < range_counts[tree_of[block]]; ++range) {
            int64_t index = partial_index(block, range, head);
            if (is_touched[index]) from[count++] = partial(index);
        }
        alignas(64) float factors[side];
        std::fill_n(factors, side, problem.scoring.scale);
        finish(from, count, factors, it.count, sizes.d, dq + (it.start * sizes.heads + head) * sizes.d, sizes.heads * sizes.d);
    }

public:
    Backward(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out, const at::Tensor &dy,
             const at::Tensor &log_sums, int64_t learned, at::Tensor &dq, at::Tensor &dk, at::Tensor &dv, at::Tensor &deltas)
        : problem(problem), sizes(q, k, v), q(elements<scalar>(q)), k(elements<scalar>(k)), v(elements<scalar>(v)), out(elements<scalar>(out)),
          dy(elements<scalar>(dy)), log_sums(elements<float>(log_sums)), dq(mutable_elements<scalar>(dq)), dk(mutable_elements<scalar>(dk)),
          dv(mutable_elements<scalar>(dv)), deltas(mutable_elements<float>(deltas)), plan(problem.backward_layout(sizes.kv_heads)), ranges(plan->ranges),
          range_counts(plan->range_counts), tree_of(plan->tree_of), place_of(plan->place_of), viewers(plan->viewers), partial_count(plan->partial_count), learned(learned) {}

    void run() {
        int64_t blocks = problem.layout.queries.size(), groups = sizes.groups();
        int64_t of_package = blocks * groups * QueryPackage<scalar>::size(sizes), of_partials = partial_count * groups * sizes.d * side;
        int64_t batch = std::clamp<int64_t>(memory / (of_package + of_partials * 4), 1, sizes.kv_heads);
        packages = at::empty({of_package * batch}, at::kByte);
        partials = at::empty({of_partials * batch}, at::kFloat);
        for (int64_t kv_head = 0; kv_head < sizes.kv_heads; kv_head += batch) run_heads(kv_head, std::min(batch, sizes.kv_heads - kv_head));
    }

private:
    void run_heads(int64_t first_kv_head, int64_t kv_heads) {
        first_head = first_kv_head * sizes.groups();
        head_count = kv_heads * sizes.groups();
        is_touched.assign(partial_count * head_count, 0);
        int64_t queries = problem.layout.queries.size() * head_count;
        parallel_for(queries, 4, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                if (learns(i / head_count)) prepare(i / head_count, first_head + i % head_count);
        });
        std::vector<int64_t> costs;
        for (const auto &range : ranges) {
            int64_t cost = 0;
            for (int64_t block : range.blocks) cost += viewers[block].size();
            costs.insert(costs.end(), kv_heads, cost);
        }
        for_units(costs, [&](int64_t unit) { run(ranges[unit / kv_heads], first_kv_head + unit % kv_heads); });
        parallel_for(queries, 4, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) gather(i / head_count, first_head + i % head_count);
        });
    }
};

}  // namespace

void attend_in_blocks_backward(const Problem &problem, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &out,
                               const at::Tensor &dy, const at::Tensor &log_sums, int64_t learned, at::Tensor &dq, at::Tensor &dk, at::Tensor &dv,
                               at::Tensor &deltas) {
    if (q.scalar_type() == at::kFloat) Backward<float>(problem, q, k, v, out, dy, log_sums, learned, dq, dk, dv, deltas).run();
    else Backward<c10::BFloat16>(problem, q, k, v, out, dy, log_sums, learned, dq, dk, dv, deltas).run();
}

}  // namespace lf::attention
