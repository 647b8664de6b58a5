// Attention in tiles on oneDNN's micro-kernels, as autograd sees it.
//
// Tiles are transposed, keys in rows and queries in columns: maxima, sums and factors per query then run along vectors, and no tile is turned between
// products. bfloat16 is multiplied in pairs and summed in float32.
#include "AttentionWork.hpp"
#include "LearnedRows.hpp"
#include "Profile.hpp"

#include <cmath>
#include <limits>
#include <torch/csrc/autograd/custom_function.h>

namespace lf {
namespace {

using namespace attention;

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Tells a recording of `widths` products per query, of the first `learned` ones, key that it sees, and head; a product's operations are twice its width.
void count_operations(const Problem &problem, const Sizes &sizes, int64_t widths, int64_t learned = std::numeric_limits<int64_t>::max()) {
    if (!lf_profile_records()) return;
    double pairs = 0;
    auto triangle = [](double side) { return side * (side + 1) / 2; };
    for (const auto &query : problem.layout.queries) {
        if (query.start >= learned) continue;
        double before = double(query.place), seen = before + double(query.count);
        pairs += triangle(seen) - triangle(before);
        // Beyond a window every further token sees one less of all.
        double window = double(problem.layout.window);
        if (window > 0) pairs -= triangle(std::max(0.0, seen - window)) - triangle(std::max(0.0, before - window));
    }
    lf::count_operations(2.0 * pairs * double(sizes.heads) * double(widths));
}

struct BlockAttention : Function<BlockAttention> {
    /// `sinks` is empty where there are none.
    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &sinks,
                              c10::intrusive_ptr<Problem> problem) {
        auto queries = q.contiguous(), keys = k.contiguous(), values = v.contiguous();
        Sizes sizes(queries, keys, values);
        auto out = at::empty({sizes.tokens, sizes.heads, sizes.e}, queries.options());
        auto log_sums = at::empty({sizes.heads, sizes.tokens}, queries.options().dtype(at::kFloat));
        attend_in_blocks(*problem, queries, keys, values, out, log_sums);
        count_operations(*problem, sizes, sizes.d + sizes.e);
        if (problem->layout.held > 0) {
            TORCH_CHECK(!q.requires_grad() && !k.requires_grad() && !v.requires_grad(), "attention onto held tokens has no gradient");
            return out;
        }
        context->save_for_backward({queries, keys, values, out, log_sums, sinks});
        context->saved_data["problem"] = c10::IValue::make_capsule(problem);
        context->saved_data["learned"] = learned_rows(q.size(0));
        return out;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        auto problem = c10::static_intrusive_pointer_cast<Problem>(context->saved_data["problem"].toCapsule());
        const auto &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3], &log_sums = saved[4], &sinks = saved[5];
        auto dy = grads[0].to(q.scalar_type()).contiguous();
        auto dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v), deltas = at::empty_like(log_sums);
        int64_t learned = context->saved_data["learned"].toInt();
        attend_in_blocks_backward(*problem, q, k, v, out, dy, log_sums, learned, dq, dk, dv, deltas);
        count_operations(*problem, Sizes(q, k, v), 3 * q.size(2) + 2 * v.size(2), learned);
        at::Tensor dsinks;
        if (problem->sinks.defined()) {
            // A sink is a key without a value: its score's gradient is its weight times what all weights' gradients have in common.
            auto weights = at::exp2(problem->sinks.unsqueeze(1) * M_LOG2E - log_sums);
            dsinks = (weights * deltas).narrow(1, 0, learned).sum(1).neg().to(sinks.options());
        }
        return {dq, dk, dv, dsinks, at::Tensor()};
    }
};

}  // namespace

bool takes_blocks(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
    auto type = q.scalar_type();
    if (!q.is_cpu() || k.scalar_type() != type || v.scalar_type() != type || !has_micro_kernels(type)) return false;
    return type == at::kFloat || (q.size(2) % 2 == 0 && v.size(2) % 2 == 0);
}

at::Tensor block_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options) {
    return BlockAttention::apply(q, k, v, options.sinks.defined() ? options.sinks : at::empty({0}), c10::make_intrusive<Problem>(segments, options));
}

}  // namespace lf
