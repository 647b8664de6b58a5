// Attention over segments by libtorch's fused CPU kernel: one call for a segment and for each part of its prefix.
#include "Attention.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

/// Rows that a segment takes in the buffers that the fused kernel reads: a multiple of the kernel's blocks. Its products then
/// have few shapes; for bfloat16 every new shape is a compiled oneDNN primitive of half a megabyte that stays in memory.
int64_t padded(int64_t length) {
    int64_t block = length < 192 ? 32 : 64;
    return (length + block - 1) / block * block;
}

struct Plan : torch::CustomClassHolder {
    std::vector<lf_segments::Segment> list;
    std::vector<int64_t> starts;  // of each segment in the padded buffers
    int64_t rows = 0;             // of the padded buffers

    explicit Plan(const lf_segments &segments) : list(segments.list) {
        for (const auto &segment : list) {
            starts.push_back(rows);
            rows += padded(segment.length);
        }
        ++segments.tables->built;
    }

    /// A segment's padded rows as the kernels want them: `[1, heads, P, d]`, a view.
    at::Tensor part(const at::Tensor &x, size_t segment) const {
        return x.narrow(1, starts[segment], padded(list[segment].length)).unsqueeze(0);
    }

    /// `[T, h, d]` to `[heads, P, d]`: zeros behind every segment, key-value heads repeated for their query groups.
    at::Tensor spread(const at::Tensor &x, int64_t heads) const {
        auto result = at::zeros({heads, rows, x.size(2)}, x.options());
        int64_t groups = heads / x.size(1);
        auto grouped = result.view({x.size(1), groups, rows, x.size(2)});
        auto source = x.permute({1, 0, 2}).unsqueeze(1).expand({x.size(1), groups, x.size(0), x.size(2)});
        for (size_t i = 0; i < list.size(); ++i)
            grouped.narrow(2, starts[i], list[i].length).copy_(source.narrow(2, list[i].start, list[i].length));
        return result;
    }

    /// The way back: `[heads, P, d]` to `[T, kvHeads, d]`, summed over the query groups.
    at::Tensor gather(const at::Tensor &x, int64_t kv_heads) const {
        int64_t tokens = list.back().start + list.back().length, groups = x.size(0) / kv_heads;
        auto result = at::empty({tokens, kv_heads, x.size(2)}, x.options());
        auto source = (groups == 1 ? x : x.view({kv_heads, groups, rows, x.size(2)}).sum(1)).transpose(0, 1);
        for (size_t i = 0; i < list.size(); ++i)
            result.narrow(0, list[i].start, list[i].length).copy_(source.narrow(0, starts[i], list[i].length));
        return result;
    }

    /// What hides the rows behind a prefix from those that look at it; nothing where there are none.
    std::optional<at::Tensor> mask(size_t segment, const at::Tensor &like) const {
        int64_t length = list[segment].length, columns = padded(length);
        if (length == columns) return std::nullopt;
        auto result = at::zeros({1, columns}, like.options());
        result.narrow(1, length, columns - length).fill_(-std::numeric_limits<double>::infinity());
        return result;
    }
};

/// Each part (a prefix, or the segment itself) is one fused call; parts are joined by their log-sum-exp. The backward of a part
/// needs only the joint output and log-sum-exp, so it is exact (Dao 2023, arXiv 2307.08691, section 3.1). Rows behind a segment
/// come last, so that causality hides them from the segment itself, and a mask of one row hides those of a prefix.
struct SegmentAttention : Function<SegmentAttention> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                              c10::intrusive_ptr<Plan> plan, double scale) {
        int64_t heads = q.size(1);
        auto queries = plan->spread(q, heads), keys = plan->spread(k, heads), values = plan->spread(v, heads);
        auto padded_out = at::empty_like(queries);
        std::vector<at::Tensor> saved = {q, k, v, at::Tensor()};
        for (size_t i = 0; i < plan->list.size(); ++i) {
            auto query = plan->part(queries, i);
            auto [joint, joint_lse] = at::_scaled_dot_product_flash_attention_for_cpu(query, plan->part(keys, i), plan->part(values, i), 0.0,
                                                                                      /*is_causal=*/true, std::nullopt, scale);
            for (int64_t p = plan->list[i].prefix; p >= 0; p = plan->list[p].prefix) {
                auto [seen, lse] = at::_scaled_dot_product_flash_attention_for_cpu(query, plan->part(keys, p), plan->part(values, p), 0.0,
                                                                                   /*is_causal=*/false, plan->mask(p, query), scale);
                auto total = at::logaddexp(joint_lse, lse);
                joint = joint * (joint_lse - total).exp().unsqueeze(-1) + seen * (lse - total).exp().unsqueeze(-1);
                joint_lse = total;
            }
            plan->part(padded_out, i).copy_(joint);
            saved.push_back(joint_lse);
        }
        auto out = plan->gather(padded_out, heads);
        saved[3] = out;
        context->save_for_backward(saved);
        context->saved_data["plan"] = c10::IValue::make_capsule(plan);
        context->saved_data["scale"] = scale;
        return out;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        auto plan = c10::static_intrusive_pointer_cast<Plan>(context->saved_data["plan"].toCapsule());
        double scale = context->saved_data["scale"].toDouble();
        int64_t heads = saved[0].size(1), kv_heads = saved[1].size(1);
        auto queries = plan->spread(saved[0], heads), keys = plan->spread(saved[1], heads), values = plan->spread(saved[2], heads);
        auto out = plan->spread(saved[3], heads), dy = plan->spread(grads[0], heads);
        auto dq = at::empty_like(queries), dk = at::zeros_like(keys), dv = at::zeros_like(values);
        for (size_t i = 0; i < plan->list.size(); ++i) {
            const auto &lse = saved[4 + i];
            auto query = plan->part(queries, i), result = plan->part(out, i), grad = plan->part(dy, i);
            auto add = [&](size_t seen, bool causal) {
                auto [gq, gk, gv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
                    grad, query, plan->part(keys, seen), plan->part(values, seen), result, lse, 0.0, causal,
                    causal ? std::nullopt : plan->mask(seen, query), scale);
                if (causal) plan->part(dq, i).copy_(gq);
                else plan->part(dq, i).add_(gq);
                plan->part(dk, seen).add_(gk);
                plan->part(dv, seen).add_(gv);
            };
            add(i, true);
            for (int64_t p = plan->list[i].prefix; p >= 0; p = plan->list[p].prefix) add(p, false);
        }
        return {plan->gather(dq, heads), plan->gather(dk, kv_heads), plan->gather(dv, kv_heads), at::Tensor(), at::Tensor()};
    }
};

}  // namespace

at::Tensor fused_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, double scale) {
    using Shared = c10::intrusive_ptr<Plan>;
    auto plan = segments.tables->get<Shared>("fused attention", [&] { return std::make_shared<Shared>(c10::make_intrusive<Plan>(segments)); });
    return SegmentAttention::apply(q, k, v, *plan, scale);
}

}  // namespace lf
