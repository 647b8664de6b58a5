// Attention over a stream of segments: causal inside each, whole onto the segments that it continues.
#include "Internal.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct lf_segments {
    struct Segment {
        int64_t start, length, prefix;
        int64_t offset;  // tokens of the chain before this segment
    };
    std::vector<Segment> list;
    int64_t longest_chain = 0;
};

namespace lf {
namespace {

struct Plan : torch::CustomClassHolder {
    std::vector<lf_segments::Segment> list;
    explicit Plan(std::vector<lf_segments::Segment> list) : list(std::move(list)) {}
};

/// `[T, heads, d]` rows of one segment as the kernels want them: `[1, heads, L, d]`, a view.
at::Tensor rows(const at::Tensor &x, const lf_segments::Segment &segment) {
    return x.narrow(0, segment.start, segment.length).transpose(0, 1).unsqueeze(0);
}

/// Repeats key-value heads for their query groups: `[T, kvHeads, d]` to `[T, heads, d]`.
at::Tensor grouped(const at::Tensor &x, int64_t heads) {
    int64_t kv_heads = x.size(1);
    if (kv_heads == heads) return x.contiguous();
    return x.unsqueeze(2).expand({x.size(0), kv_heads, heads / kv_heads, x.size(2)}).reshape({x.size(0), heads, x.size(2)});
}

/// Each part (a prefix, or the segment itself) is one fused call; parts are joined by their log-sum-exp. The backward of a part
/// needs only the joint output and log-sum-exp, so it is exact and no mask is ever built (Dao 2023, arXiv 2307.08691, section 3.1).
struct SegmentAttention : Function<SegmentAttention> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                              c10::intrusive_ptr<Plan> plan, double scale) {
        int64_t heads = q.size(1);
        auto queries = q.contiguous(), keys = grouped(k, heads), values = grouped(v, heads);
        auto out = at::empty_like(queries);
        std::vector<at::Tensor> saved = {queries, keys, values, out};
        for (const auto &segment : plan->list) {
            auto query = rows(queries, segment);
            auto [joint, joint_lse] = at::_scaled_dot_product_flash_attention_for_cpu(query, rows(keys, segment), rows(values, segment), 0.0,
                                                                                      /*is_causal=*/true, std::nullopt, scale);
            for (int64_t p = segment.prefix; p >= 0; p = plan->list[p].prefix) {
                const auto &part = plan->list[p];
                auto [seen, lse] = at::_scaled_dot_product_flash_attention_for_cpu(query, rows(keys, part), rows(values, part), 0.0,
                                                                                   /*is_causal=*/false, std::nullopt, scale);
                auto total = at::logaddexp(joint_lse, lse);
                joint = joint * (joint_lse - total).exp().unsqueeze(-1) + seen * (lse - total).exp().unsqueeze(-1);
                joint_lse = total;
            }
            rows(out, segment).copy_(joint);
            saved.push_back(joint_lse);
        }
        context->save_for_backward(saved);
        context->saved_data["plan"] = c10::IValue::make_capsule(plan);
        context->saved_data["scale"] = scale;
        context->saved_data["kv_heads"] = k.size(1);
        return out;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &queries = saved[0], &keys = saved[1], &values = saved[2], &out = saved[3];
        auto plan = c10::static_intrusive_pointer_cast<Plan>(context->saved_data["plan"].toCapsule());
        double scale = context->saved_data["scale"].toDouble();
        int64_t kv_heads = context->saved_data["kv_heads"].toInt();
        auto dy = grads[0].contiguous();
        auto dq = at::empty_like(queries), dk = at::zeros_like(keys), dv = at::zeros_like(values);
        for (size_t i = 0; i < plan->list.size(); ++i) {
            const auto &segment = plan->list[i];
            const auto &lse = saved[4 + i];
            auto query = rows(queries, segment), result = rows(out, segment), grad = rows(dy, segment);
            auto add = [&](const lf_segments::Segment &part, bool causal) {
                auto [gq, gk, gv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
                    grad, query, rows(keys, part), rows(values, part), result, lse, 0.0, causal, std::nullopt, scale);
                if (causal) rows(dq, segment).copy_(gq);
                else rows(dq, segment).add_(gq);
                rows(dk, part).add_(gk);
                rows(dv, part).add_(gv);
            };
            add(segment, true);
            for (int64_t p = segment.prefix; p >= 0; p = plan->list[p].prefix) add(plan->list[p], false);
        }
        auto folded = [&](const at::Tensor &x) {
            int64_t heads = x.size(1);
            if (heads == kv_heads) return x;
            return x.view({x.size(0), kv_heads, heads / kv_heads, x.size(2)}).sum(2);
        };
        return {dq, folded(dk), folded(dv), at::Tensor(), at::Tensor()};
    }
};

/// The same written out, for windows, soft-caps and devices without the fused kernel.
at::Tensor explicit_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, double scale,
                              int64_t window, double softcap) {
    int64_t heads = q.size(1);
    auto keys = grouped(k, heads), values = grouped(v, heads);
    auto wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    std::vector<at::Tensor> outputs;
    for (const auto &segment : segments.list) {
        std::vector<at::Tensor> key_parts = {keys.narrow(0, segment.start, segment.length)};
        std::vector<at::Tensor> value_parts = {values.narrow(0, segment.start, segment.length)};
        for (int64_t p = segment.prefix; p >= 0; p = segments.list[p].prefix) {
            const auto &part = segments.list[p];
            key_parts.insert(key_parts.begin(), keys.narrow(0, part.start, part.length));
            value_parts.insert(value_parts.begin(), values.narrow(0, part.start, part.length));
        }
        auto query = q.narrow(0, segment.start, segment.length).transpose(0, 1);
        auto key = at::cat(key_parts, 0).permute({1, 2, 0}), value = at::cat(value_parts, 0).transpose(0, 1);
        auto scores = at::matmul(query, key) * scale;
        if (softcap > 0) scores = at::tanh(scores / softcap) * softcap;
        auto index = at::TensorOptions().dtype(at::kLong).device(q.device());
        auto query_place = at::arange(segment.offset, segment.offset + segment.length, index).unsqueeze(1);
        auto key_place = at::arange(0, segment.offset + segment.length, index).unsqueeze(0);
        auto hidden = key_place > query_place;
        if (window > 0) hidden = hidden.logical_or(query_place - key_place >= window);
        scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
        outputs.push_back(at::matmul(at::softmax(scores, -1, wide).to(q.scalar_type()), value).transpose(0, 1));
    }
    return at::cat(outputs, 0);
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_segments_create(const int64_t *starts, const int64_t *ends, const int64_t *prefixes, size_t count, lf_segments_t *out) {
    return guarded([&] {
        auto result = std::make_unique<lf_segments>();
        int64_t covered = 0;
        for (size_t i = 0; i < count; ++i) {
            TORCH_CHECK(starts[i] == covered && ends[i] > starts[i], "segment ", i, " does not follow the one before it");
            TORCH_CHECK(prefixes[i] >= -1 && prefixes[i] < static_cast<int64_t>(i), "segment ", i, " continues a segment that is not before it");
            int64_t offset = prefixes[i] < 0 ? 0 : result->list[prefixes[i]].offset + result->list[prefixes[i]].length;
            result->list.push_back({starts[i], ends[i] - starts[i], prefixes[i], offset});
            result->longest_chain = std::max(result->longest_chain, offset + ends[i] - starts[i]);
            covered = ends[i];
        }
        *out = result.release();
    });
}

void lf_segments_free(lf_segments_t segments) { delete segments; }

lf_status lf_segment_attention(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_segments_t segments, double scale, int64_t window,
                               double softcap, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &query = q->value, &key = k->value, &value = v->value;
        int64_t covered = segments->list.empty() ? 0 : segments->list.back().start + segments->list.back().length;
        TORCH_CHECK(query.dim() == 3 && key.dim() == 3 && value.sizes() == key.sizes() && query.size(0) == covered && key.size(0) == covered &&
                        query.size(2) == key.size(2) && key.size(1) > 0 && query.size(1) % key.size(1) == 0,
                    "queries, keys and values do not fit each other or the segments");
        if (covered == 0) return at::zeros_like(query);
        bool plain = softcap <= 0 && (window <= 0 || window >= segments->longest_chain);
        if (plain && query.is_cpu()) return SegmentAttention::apply(query, key, value, c10::make_intrusive<Plan>(segments->list), scale);
        return explicit_attention(query, key, value, *segments, scale, window, softcap);
    });
}
