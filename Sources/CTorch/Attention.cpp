// Attention over a stream of segments: causal inside each, whole onto the segments that it continues.
#include "KernelLayers.hpp"

namespace lf {

AttentionOptions::AttentionOptions(const lf_attention_options &options, int64_t heads)
    : scale(options.scale), softcap(options.softcap), window(options.window) {
    auto take = [&](lf_tensor_t tensor, at::Tensor &to, const char *name) {
        if (!tensor) return;
        TORCH_CHECK(tensor->value.dim() == 1 && tensor->value.size(0) == heads && tensor->value.is_floating_point(), name, " have the shape ",
                    tensor->value.sizes(), ", there are ", heads, " heads");
        to = tensor->value;
    };
    take(options.sinks, sinks, "sinks");
    take(options.slopes, slopes, "slopes");
}

at::Tensor AttentionOptions::per_head(const at::Tensor &x, at::ScalarType type) {
    return x.defined() ? x.detach().to(at::kCPU, type).contiguous() : x;
}

at::Tensor AttentionOptions::weights(const at::Tensor &products, const at::Tensor &distance, const at::Tensor &hidden) const {
    auto scores = products * scale;
    if (softcap > 0) scores = at::tanh(scores / softcap) * softcap;
    if (slopes.defined()) scores = scores + slopes.detach().to(scores.options()).view({-1, 1, 1}) * distance;
    if (hidden.defined()) scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
    if (!sinks.defined()) return at::softmax(scores, -1);
    auto column = sinks.to(scores.options()).view({-1, 1, 1}).expand({scores.size(0), scores.size(1), 1});
    return at::softmax(at::cat({scores, column}, -1), -1).narrow(-1, 0, scores.size(2));
}

namespace {

/// Repeats key-value heads for their query groups: `[T, kvHeads, d]` to `[T, heads, d]`.
at::Tensor grouped(const at::Tensor &x, int64_t heads) {
    int64_t kv_heads = x.size(1);
    if (kv_heads == heads) return x.contiguous();
    return x.unsqueeze(2).expand({x.size(0), kv_heads, heads / kv_heads, x.size(2)}).reshape({x.size(0), heads, x.size(2)});
}

}  // namespace

at::Tensor written_out_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments,
                                 const AttentionOptions &options) {
    int64_t heads = q.size(1);
    auto wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    auto queries = q.to(wide), keys = grouped(k, heads).to(wide), values = grouped(v, heads).to(wide);
    auto index = at::TensorOptions().dtype(at::kLong).device(q.device());
    std::vector<at::Tensor> outputs;
    for (size_t i = segments.held; i < segments.list.size(); ++i) {
        const auto &segment = segments.list[i];
        std::vector<at::Tensor> key_parts = {keys.narrow(0, segment.start, segment.length)};
        std::vector<at::Tensor> value_parts = {values.narrow(0, segment.start, segment.length)};
        for (int64_t p = segment.prefix; p >= 0; p = segments.list[p].prefix) {
            const auto &part = segments.list[p];
            key_parts.insert(key_parts.begin(), keys.narrow(0, part.start, part.length));
            value_parts.insert(value_parts.begin(), values.narrow(0, part.start, part.length));
        }
        auto query = queries.narrow(0, segment.start - segments.held_tokens, segment.length).transpose(0, 1);
        auto key = at::cat(key_parts, 0).permute({1, 2, 0}), value = at::cat(value_parts, 0).transpose(0, 1);
        auto query_place = at::arange(segment.offset, segment.offset + segment.length, index).unsqueeze(1);
        auto distance = at::arange(0, segment.offset + segment.length, index).unsqueeze(0) - query_place;
        auto hidden = distance > 0;
        if (options.window > 0) hidden = hidden.logical_or(distance <= -options.window);
        auto weights = options.weights(at::matmul(query, key), distance, hidden);
        outputs.push_back(at::matmul(weights, value).transpose(0, 1));
    }
    return at::cat(outputs, 0).to(q.scalar_type());
}

namespace {

/// The rows that queries come from, counted from the first that is not held.
at::Tensor query_rows(const lf_segments &segments, const at::Device &device) {
    auto name = "query rows, " + device.str();
    return *segments.tables->get<at::Tensor>(name, [&] {
        std::vector<at::Tensor> runs;
        for (const auto &run : segments.queries) runs.push_back(at::arange(run.start, run.start + run.length, at::kLong) - segments.held_tokens);
        ++segments.tables->built;
        return std::make_shared<at::Tensor>(at::cat(runs).to(device));
    });
}

at::Tensor attention_of_all(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options) {
    bool has_plain_scores = options.softcap <= 0 && !options.sinks.defined() && !options.slopes.defined();
    bool sees_all = options.window <= 0 || options.window >= segments.longest_chain;
    if (q.is_cpu() && has_plain_scores && sees_all && v.size(2) == q.size(2) && segments.held == 0)
        return fused_attention(q, k, v, segments, options.scale);
    return written_out_attention(q, k, v, segments, options);
}

}  // namespace

at::Tensor segment_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments,
                             const AttentionOptions &options) {
    TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.dim() == 3 && q.size(0) == segments.query_tokens() &&
                    k.size(0) == segments.tokens() && v.size(0) == k.size(0) && q.size(2) == k.size(2) && v.size(1) == k.size(1) && k.size(1) > 0 &&
                    q.size(1) % k.size(1) == 0,
                "queries, keys and values do not fit each other or the segments");
    if (q.size(0) == 0) return at::zeros({0, q.size(1), v.size(2)}, q.options());
    if (takes_blocks(q, k, v)) return block_attention(q, k, v, segments, options);
    if (takes_kernel_attention(q, k, v)) return kernel_attention(q, k, v, segments, options);
    if (!q.is_cpu() && options.softcap <= 0 && !options.sinks.defined()) return batched_attention(q, k, v, segments, options);
    if (segments.asks_all) return attention_of_all(q, k, v, segments, options);
    auto rows = query_rows(segments, q.device());
    auto whole = at::zeros({segments.tokens() - segments.held_tokens, q.size(1), q.size(2)}, q.options()).index_copy(0, rows, q);
    return attention_of_all(whole, k, v, segments, options).index_select(0, rows);
}

}  // namespace lf

using namespace lf;

namespace {

/// Takes the runs of rows that ask, or all rows that are not held.
void take_queries(lf_segments &segments, const int64_t *starts, const int64_t *ends, size_t count) {
    segments.asks_all = starts == nullptr;
    if (segments.asks_all) {
        for (size_t i = segments.held; i < segments.list.size(); ++i)
            segments.queries.push_back({segments.list[i].start, segments.list[i].length, static_cast<int64_t>(i)});
        return;
    }
    int64_t done = segments.held_tokens;
    size_t segment = segments.held;
    for (size_t i = 0; i < count; ++i) {
        auto end = [&] { return segments.list[segment].start + segments.list[segment].length; };
        while (segment < segments.list.size() && end() <= starts[i]) ++segment;
        TORCH_CHECK(segment < segments.list.size() && starts[i] >= done && ends[i] > starts[i] && ends[i] <= end(), "the rows [", starts[i], ", ",
                    ends[i], ") that ask do not lie behind one another within a segment");
        segments.queries.push_back({starts[i], ends[i] - starts[i], static_cast<int64_t>(segment)});
        done = ends[i];
    }
}

}  // namespace

lf_status lf_segments_create(const int64_t *starts, const int64_t *ends, const int64_t *prefixes, size_t count, size_t held,
                             const int64_t *query_starts, const int64_t *query_ends, size_t query_count, lf_segments_t *out) {
    return guarded([&] {
        TORCH_CHECK(held <= count, "more segments are held than there are");
        auto result = std::make_unique<lf_segments>();
        result->held = held;
        if (held > 0) result->held_tokens = ends[held - 1];
        int64_t covered = 0;
        for (size_t i = 0; i < count; ++i) {
            TORCH_CHECK(starts[i] == covered && ends[i] > starts[i], "segment ", i, " does not follow the one before it");
            TORCH_CHECK(prefixes[i] >= -1 && prefixes[i] < static_cast<int64_t>(i), "segment ", i, " continues a segment that is not before it");
            int64_t offset = prefixes[i] < 0 ? 0 : result->list[prefixes[i]].offset + result->list[prefixes[i]].length;
            result->list.push_back({starts[i], ends[i] - starts[i], prefixes[i], offset});
            result->longest_chain = std::max(result->longest_chain, offset + ends[i] - starts[i]);
            covered = ends[i];
        }
        take_queries(*result, query_starts, query_ends, query_count);
        *out = result.release();
    });
}

void lf_segments_free(lf_segments_t segments) { delete segments; }

int64_t lf_segments_built_tables(lf_segments_t segments) { return segments->tables->built; }

lf_status lf_segment_attention(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_segments_t segments, const lf_attention_options *options,
                               lf_tensor_t *out) {
    return returning(out, [&] { return segment_attention(q->value, k->value, v->value, *segments, AttentionOptions(*options, q->value.size(1))); });
}
