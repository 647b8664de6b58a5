// Attention off the CPU: pieces of segments that are about as long are computed at once, so that the number of kernels hardly depends on the number
// of segments. Scores exist for a part of the stream at a time, in the backward pass again.
#include "Attention.hpp"

#include <map>
#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

/// Queries of one segment that are computed together; longer runs are cut, so that their first queries need not see the last keys.
constexpr int64_t longest_piece = 1024;
/// Pieces of different lengths are filled up to the longest as long as a group has no more scores than this: a kernel more takes longer.
constexpr int64_t mergeable_scores = int64_t(16) << 20;
/// Scores that exist at once: 256 MiB in float32.
constexpr int64_t greatest_scores = int64_t(64) << 20;

struct Piece {
    int64_t row, place, count, segment;  // among the rows of queries; of the first one along its chain; queries
    int64_t keys() const { return place + count; }
};

/// Pieces that are filled up to `queries` rows and `keys` columns.
struct Group {
    std::vector<Piece> pieces;
    int64_t queries = 0, keys = 0;

    int64_t scores() const { return static_cast<int64_t>(pieces.size()) * queries * keys; }
    void add(const Piece &piece) {
        pieces.push_back(piece);
        queries = std::max(queries, piece.count);
        keys = std::max(keys, piece.keys());
    }
    Group joined(const Group &other) const {
        auto result = *this;
        for (const auto &piece : other.pieces) result.add(piece);
        return result;
    }
};

int64_t next_power(int64_t count) {
    int64_t power = 16;
    while (power < count) power *= 2;
    return power;
}

/// The pieces of a stream, those of like size together.
std::vector<Group> groups_of(const lf_segments &segments, int64_t heads) {
    std::map<std::pair<int64_t, int64_t>, Group> by_size;
    int64_t row = 0;
    for (const auto &run : segments.queries) {
        const auto &segment = segments.list[run.segment];
        for (int64_t done = 0; done < run.length; done += longest_piece) {
            Piece piece{row + done, segment.offset + run.start - segment.start + done, std::min(longest_piece, run.length - done), run.segment};
            by_size[{next_power(piece.keys()), next_power(piece.count)}].add(piece);
        }
        row += run.length;
    }
    std::vector<Group> groups;
    for (auto &[size, group] : by_size) {
        if (!groups.empty()) {
            auto both = groups.back().joined(group);
            if (both.scores() * heads <= mergeable_scores) {
                groups.back() = std::move(both);
                continue;
            }
        }
        groups.push_back(std::move(group));
    }
    return groups;
}

/// A group's tables on the device; S pieces, H heads of queries, K of keys, M queries and N keys.
struct GroupTables {
    int64_t pieces, queries, keys;
    at::Tensor query_rows;  // [S·H·M], among the rows `[T·H]` of queries
    at::Tensor key_rows;    // [S·K·N], among the rows `[T·K]` of keys
    at::Tensor distance;    // [S, 1, 1, M, N]: the key's place less the query's
    at::Tensor hidden;      // as `distance`: whether the query does not see the key
    at::Tensor filling;     // [S, 1, M, 1]: whether there is no such query; undefined where there are all
};

struct BatchedTables : torch::CustomClassHolder {
    std::vector<GroupTables> groups;
    at::Tensor places;  // [T·H]: where the result of each row of queries and head stands among the groups' `[S·H·M]`

    BatchedTables(const lf_segments &segments, int64_t heads, int64_t kv_heads, int64_t window, const at::Device &device) {
        auto made = groups_of(segments, heads);
        int64_t rows = segments.query_tokens(), first = 0;
        // All numbers go over at once: for each row where it stands and the step to its next head, then the groups' own.
        std::vector<int64_t> numbers(2 * rows);
        for (const auto &group : made) {
            append(numbers, segments, group);
            int64_t piece_place = first;
            for (const auto &piece : group.pieces) {
                for (int64_t i = 0; i < piece.count; ++i) {
                    numbers[piece.row + i] = piece_place + i;
                    numbers[rows + piece.row + i] = group.queries;
                }
                piece_place += heads * group.queries;
            }
            first = piece_place;
        }
        auto host = at::from_blob(numbers.data(), {static_cast<int64_t>(numbers.size())}, at::kLong);
        auto all = host.to(device, /*non_blocking=*/true);
        auto head = at::arange(heads, all.options()), kv_head = at::arange(kv_heads, all.options());
        places = (all.narrow(0, 0, rows).unsqueeze(1) + all.narrow(0, rows, rows).unsqueeze(1) * head).flatten();
        int64_t at = 2 * rows;
        for (const auto &group : made) groups.push_back(tables(group, all, at, head, kv_head, window));
        ++segments.tables->built;
    }

private:
    /// Appends a group's rows of queries and places, `[S·M]` each (place -1 where there is no query), and its rows of keys, `[S·N]`.
    static void append(std::vector<int64_t> &numbers, const lf_segments &segments, const Group &group) {
        for (const auto &piece : group.pieces)
            for (int64_t i = 0; i < group.queries; ++i) numbers.push_back(i < piece.count ? piece.row + i : 0);
        for (const auto &piece : group.pieces)
            for (int64_t i = 0; i < group.queries; ++i) numbers.push_back(i < piece.count ? piece.place + i : -1);
        for (const auto &piece : group.pieces) {
            size_t begin = numbers.size();
            numbers.resize(begin + group.keys, 0);
            for (int64_t s = piece.segment; s >= 0; s = segments.list[s].prefix) {
                const auto &segment = segments.list[s];
                for (int64_t i = 0; i < segment.length && segment.offset + i < piece.keys(); ++i)
                    numbers[begin + segment.offset + i] = segment.start + i;
            }
        }
    }

    static GroupTables tables(const Group &group, const at::Tensor &all, int64_t &at, const at::Tensor &head, const at::Tensor &kv_head, int64_t window) {
        int64_t count = static_cast<int64_t>(group.pieces.size());
        auto take = [&](int64_t columns) {
            auto part = all.narrow(0, at, count * columns).view({count, 1, columns});
            at += count * columns;
            return part;
        };
        GroupTables result{count, group.queries, group.keys};
        auto rows = take(group.queries), place = take(group.queries), keys = take(group.keys);
        result.query_rows = (rows * head.size(0) + head.view({1, -1, 1})).flatten();
        result.key_rows = (keys * kv_head.size(0) + kv_head.view({1, -1, 1})).flatten();
        bool is_filled = false;
        for (const auto &piece : group.pieces) is_filled = is_filled || piece.count < group.queries;
        // What fills up sees the first key, so that its weights are numbers; its gradients are dropped.
        auto seeing = is_filled ? place.clamp_min(0) : place;
        result.distance = at::arange(group.keys, all.options()).view({1, 1, 1, 1, -1}) - seeing.view({count, 1, 1, -1, 1});
        result.hidden = result.distance > 0;
        if (window > 0) result.hidden = result.hidden.logical_or_(result.distance <= -window);
        if (is_filled) result.filling = (place < 0).view({count, 1, -1, 1});
        return result;
    }
};

/// Attention of some pieces of a group; `q [S·K, G·M, d]`, `k` and `v [S·K, N, d]`.
struct Part {
    const GroupTables &group;
    int64_t begin, count, heads, kv_heads;
    double scale;
    at::Tensor slopes;

    at::Tensor rows_of(const at::Tensor &rows, int64_t per_piece) const { return rows.narrow(0, begin * per_piece, count * per_piece); }
    at::Tensor query_rows() const { return rows_of(group.query_rows, heads * group.queries); }
    at::Tensor key_rows() const { return rows_of(group.key_rows, kv_heads * group.keys); }
    at::Tensor queries(const at::Tensor &x) const {
        return x.index_select(0, query_rows()).view({count * kv_heads, heads / kv_heads * group.queries, x.size(1)});
    }
    at::Tensor keys(const at::Tensor &x) const { return x.index_select(0, key_rows()).view({count * kv_heads, group.keys, x.size(1)}); }

    at::Tensor weights(const at::Tensor &q, const at::Tensor &k) const {
        auto scores = at::baddbmm(at::empty({1, 1, 1}, q.options()), q, k.transpose(1, 2), 0, scale);
        auto by_head = scores.view({count, kv_heads, heads / kv_heads, group.queries, group.keys});
        if (slopes.defined()) by_head.add_(slopes.view({1, kv_heads, heads / kv_heads, 1, 1}) * group.distance.narrow(0, begin, count));
        by_head.masked_fill_(group.hidden.narrow(0, begin, count), -std::numeric_limits<double>::infinity());
        return at::softmax(scores, -1);
    }
};

/// The gradient of a score needs its row's weights alone, which follow from queries and keys again.
struct BatchedAttention : Function<BatchedAttention> {
    struct Setup : torch::CustomClassHolder {
        c10::intrusive_ptr<BatchedTables> tables;
        double scale;
        at::Tensor slopes;

        template <typename Body> void for_parts(int64_t heads, int64_t kv_heads, const Body &body) const {
            for (const auto &group : tables->groups) {
                int64_t step = std::max<int64_t>(1, greatest_scores / (heads * group.queries * group.keys));
                for (int64_t begin = 0; begin < group.pieces; begin += step)
                    body(Part{group, begin, std::min(step, group.pieces - begin), heads, kv_heads, scale, slopes});
            }
        }
        /// What the groups have computed, `[S·H·M, d]` each, by row of queries.
        at::Tensor collected(const std::vector<at::Tensor> &parts, at::IntArrayRef sizes, at::ScalarType type) const {
            auto all = parts.size() == 1 ? parts[0] : at::cat(parts, 0);
            return all.index_select(0, tables->places).view(sizes).to(type);
        }
    };

    /// `[T, h, d]` as rows `[T·h, d]` in the type that is computed in.
    static at::Tensor rows(const at::Tensor &x) {
        return x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).contiguous().view({-1, x.size(2)});
    }

    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, c10::intrusive_ptr<Setup> setup) {
        auto queries = rows(q), keys = rows(k), values = rows(v);
        std::vector<at::Tensor> parts;
        setup->for_parts(q.size(1), k.size(1), [&](const Part &part) {
            auto weights = part.weights(part.queries(queries), part.keys(keys));
            parts.push_back(at::bmm(weights, part.keys(values)).view({-1, v.size(2)}));
        });
        context->save_for_backward({q, k, v});
        context->saved_data["setup"] = c10::IValue::make_capsule(setup);
        return setup->collected(parts, {q.size(0), q.size(1), v.size(2)}, q.scalar_type());
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &q = saved[0], &k = saved[1], &v = saved[2];
        auto setup = c10::static_intrusive_pointer_cast<Setup>(context->saved_data["setup"].toCapsule());
        auto queries = rows(q), keys = rows(k), values = rows(v), dy = rows(grads[0]);
        auto dk = at::zeros_like(keys), dv = at::zeros_like(values);
        // Rows of prefixes come several times. A GPU sums these in their order, unlike those of `index_add_`.
        auto add = [](at::Tensor &sum, const at::Tensor &at, const at::Tensor &x) { sum.index_put_({at}, x.view({-1, x.size(2)}), /*accumulate=*/true); };
        std::vector<at::Tensor> parts;
        setup->for_parts(q.size(1), k.size(1), [&](const Part &part) {
            auto query = part.queries(queries), key = part.keys(keys), grad = part.queries(dy);
            if (part.group.filling.defined())
                grad.view({part.count, part.heads, part.group.queries, -1}).masked_fill_(part.group.filling.narrow(0, part.begin, part.count), 0);
            auto weights = part.weights(query, key);
            add(dv, part.key_rows(), at::bmm(weights.transpose(1, 2), grad));
            auto dscores = at::_softmax_backward_data(at::bmm(grad, part.keys(values).transpose(1, 2)), weights, -1, weights.scalar_type());
            auto nothing = at::empty({1, 1, 1}, query.options());
            parts.push_back(at::baddbmm(nothing, dscores, key, 0, setup->scale).view({-1, q.size(2)}));
            add(dk, part.key_rows(), at::baddbmm(nothing, dscores.transpose(1, 2), query, 0, setup->scale));
        });
        return {setup->collected(parts, q.sizes(), q.scalar_type()), dk.view(k.sizes()).to(k.scalar_type()), dv.view(v.sizes()).to(v.scalar_type()),
                at::Tensor()};
    }
};

}  // namespace

at::Tensor batched_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options) {
    using Shared = c10::intrusive_ptr<BatchedTables>;
    auto name = c10::str("batched attention, ", q.size(1), ", ", k.size(1), ", ", options.window, ", ", q.device());
    auto setup = c10::make_intrusive<BatchedAttention::Setup>();
    setup->tables = *segments.tables->get<Shared>(name, [&] {
        WithoutGrad scope;
        return std::make_shared<Shared>(c10::make_intrusive<BatchedTables>(segments, q.size(1), k.size(1), options.window, q.device()));
    });
    setup->scale = options.scale;
    if (options.slopes.defined()) setup->slopes = options.slopes.detach().to(q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    return BatchedAttention::apply(q, k, v, setup);
}

}  // namespace lf
