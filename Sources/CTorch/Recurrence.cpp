// Layers that carry a state from token to token, over a stream of segments: short convolutions and the gated delta rule. A segment begins with the
// state that the one which it continues ends with.
#include "Attention.hpp"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

at::ScalarType wide(const at::Tensor &x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

at::Tensor indices(const std::vector<int64_t> &rows, const at::Tensor &like) {
    return at::tensor(rows, at::TensorOptions().dtype(at::kLong)).to(like.device());
}

/// A row of zeros behind the others, which stands for what is not there.
at::Tensor with_zero_row(const at::Tensor &x) {
    auto sizes = x.sizes().vec();
    sizes[0] = 1;
    return at::cat({x, at::zeros(sizes, x.options())});
}

// --- convolution -----------------------------------------------------------------------------------------------------

/// The row of each token's `distance`-th predecessor in its own sequence, or the row behind the last where there is none.
std::vector<int64_t> predecessors(const lf_segments &segments, int64_t distance) {
    int64_t none = segments.tokens();
    std::vector<int64_t> rows;
    rows.reserve(none);
    for (const auto &segment : segments.list) {
        for (int64_t place = 0; place < segment.length; ++place) {
            int64_t missing = distance - place, part = segment.prefix;
            while (missing > 0 && part >= 0 && segments.list[part].length < missing) {
                missing -= segments.list[part].length;
                part = segments.list[part].prefix;
            }
            if (missing <= 0) rows.push_back(segment.start + place - distance);
            else rows.push_back(part < 0 ? none : segments.list[part].start + segments.list[part].length - missing);
        }
    }
    return rows;
}

/// Where the taps of a convolution read, from the nearest predecessor on.
struct Taps : torch::CustomClassHolder {
    std::vector<at::Tensor> rows;

    Taps(const lf_segments &segments, int64_t count, const at::Tensor &like) {
        for (int64_t tap = 1; tap < count; ++tap) rows.push_back(indices(predecessors(segments, tap), like));
        ++segments.tables->built;
    }
};

struct Convolution : Function<Convolution> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, c10::intrusive_ptr<Taps> taps) {
        context->save_for_backward({x, w});
        context->saved_data["taps"] = c10::IValue::make_capsule(taps);
        auto weights = w.to(wide(x)).t().contiguous();  // [K, C]
        auto source = with_zero_row(x.to(wide(x)));
        int64_t last = weights.size(0) - 1;
        auto sum = source.narrow(0, 0, x.size(0)) * weights[last];
        for (int64_t tap = 1; tap <= last; ++tap) sum.addcmul_(source.index_select(0, taps->rows[tap - 1]), weights[last - tap]);
        return sum.to(x.scalar_type());
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        auto taps = c10::static_intrusive_pointer_cast<Taps>(context->saved_data["taps"].toCapsule());
        const auto &x = saved[0], &w = saved[1];
        auto type = wide(x);
        auto weights = w.to(type).t().contiguous(), dy = grads[0].to(type), source = with_zero_row(x.to(type));
        int64_t last = weights.size(0) - 1;
        auto dx = with_zero_row(dy * weights[last]);
        auto dw = at::empty_like(weights);
        dw[last].copy_((dy * source.narrow(0, 0, x.size(0))).sum(0));
        for (int64_t tap = 1; tap <= last; ++tap) {
            const auto &rows = taps->rows[tap - 1];
            dx.index_add_(0, rows, dy * weights[last - tap]);
            dw[last - tap].copy_((dy * source.index_select(0, rows)).sum(0));
        }
        return {dx.narrow(0, 0, x.size(0)).to(x.scalar_type()), dw.t().to(w.scalar_type()), at::Tensor()};
    }
};

// --- gated delta rule ------------------------------------------------------------------------------------------------

constexpr int64_t chunk_limit = 64;

/// Segments cut into chunks of one size, in waves: a chunk's state comes from a chunk of the wave before.
struct ChunkPlan : torch::CustomClassHolder {
    int64_t size = 1, count = 0;
    at::Tensor rows;                 // [count · size]: the stream's row at each place of the chunks; the row behind the last for none
    at::Tensor places;               // [T]: each row's place in the chunks
    at::Tensor ends;                 // [segments]: the last chunk of each segment
    std::vector<int64_t> waves;      // chunks of each wave
    std::vector<at::Tensor> before;  // of each wave: the place in the wave before of the chunk that each continues; nothing for the first

    ChunkPlan(const lf_segments &segments, const at::Tensor &like) {
        int64_t longest = 1;
        for (const auto &segment : segments.list) longest = std::max(longest, segment.length);
        size = std::min(chunk_limit, longest < 16 ? longest : (longest + 15) / 16 * 16);
        struct Chunk {
            int64_t start, length, before, depth;
        };
        std::vector<Chunk> chunks;
        std::vector<int64_t> last_chunk;  // of each segment
        for (const auto &segment : segments.list) {
            int64_t before = segment.prefix < 0 ? -1 : last_chunk[segment.prefix];
            for (int64_t place = 0; place < segment.length; place += size) {
                int64_t depth = before < 0 ? 0 : chunks[before].depth + 1;
                chunks.push_back({segment.start + place, std::min(size, segment.length - place), before, depth});
                before = static_cast<int64_t>(chunks.size()) - 1;
            }
            last_chunk.push_back(before);
        }
        count = static_cast<int64_t>(chunks.size());
        std::vector<int64_t> place_in_wave(count), order;
        std::vector<std::vector<int64_t>> parents;
        for (int64_t i = 0; i < count; ++i) {
            size_t depth = chunks[i].depth;
            if (waves.size() <= depth) {
                waves.resize(depth + 1);
                parents.resize(depth + 1);
            }
            place_in_wave[i] = waves[depth]++;
            parents[depth].push_back(chunks[i].before < 0 ? 0 : place_in_wave[chunks[i].before]);
        }
        std::vector<int64_t> first(waves.size(), 0);
        for (size_t wave = 1; wave < waves.size(); ++wave) first[wave] = first[wave - 1] + waves[wave - 1];
        int64_t none = segments.tokens();
        std::vector<int64_t> row_at(count * size, none), place_of(none);
        auto position = [&](int64_t chunk) { return first[chunks[chunk].depth] + place_in_wave[chunk]; };
        for (int64_t i = 0; i < count; ++i) {
            for (int64_t token = 0; token < chunks[i].length; ++token) {
                int64_t place = position(i) * size + token;
                row_at[place] = chunks[i].start + token;
                place_of[chunks[i].start + token] = place;
            }
        }
        for (int64_t &chunk : last_chunk) chunk = position(chunk);
        rows = indices(row_at, like);
        places = indices(place_of, like);
        ends = indices(last_chunk, like);
        for (size_t wave = 0; wave < waves.size(); ++wave) before.push_back(wave == 0 ? at::Tensor() : indices(parents[wave], like));
        ++segments.tables->built;
    }

    /// Pads `[T, heads, d]` to `[count, heads, size, d]` with zeros.
    at::Tensor cut(const at::Tensor &x) const {
        return with_zero_row(x).index_select(0, rows).view({count, size, x.size(1), x.size(2)}).transpose(1, 2);
    }
};

at::Tensor normalized(const at::Tensor &x) { return x * at::rsqrt((x * x).sum(-1, true) + 1e-6); }

/// Repeats dimension 1 for the heads that share it.
at::Tensor for_heads(const at::Tensor &x, int64_t heads) {
    return heads == x.size(1) ? x : x.repeat_interleave(heads / x.size(1), 1);
}

/// Outputs `[T, heads, e]`, and the states that the segments end with where they are asked for, `[segments, heads, d, e]`. `initial`, unless undefined, holds
/// the states that the segments which continue none begin with, in their order.
///
/// Within a chunk the changes U of the state's values solve `(I + strictly lower(diag(β) K Kᵀ ⊙ Γ)) U = diag(β) (V − diag(γ) K S)` (Yang et al. 2024,
/// arXiv 2412.06464, section 3.3; γ the decay since the chunk began, Γ that between two tokens); all chunks solve at once, and only their states follow one another.
std::pair<at::Tensor, at::Tensor> chunked_delta_rule(at::Tensor q, at::Tensor k, const at::Tensor &v, const at::Tensor &g, const at::Tensor &beta,
                                                     const ChunkPlan &plan, bool wants_states, const at::Tensor &initial = at::Tensor()) {
    int64_t heads = v.size(1), width = v.size(2);
    double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
    q = for_heads(plan.cut(normalized(q) * scale), heads);
    k = for_heads(plan.cut(normalized(k)), heads);
    auto values = plan.cut(v), rate = plan.cut(beta.unsqueeze(-1));
    auto decay = plan.cut(g.unsqueeze(-1)).cumsum(-2);  // logarithms since the chunk began, [count, heads, size, 1]
    auto later = at::ones({plan.size, plan.size}, decay.options().dtype(at::kBool)).triu(1);
    auto between = (decay - decay.transpose(-1, -2)).masked_fill(later, -std::numeric_limits<double>::infinity()).exp();
    auto rated = k * rate, grown = decay.exp(), end = decay.narrow(-2, plan.size - 1, 1);
    auto coupling = (at::matmul(rated, k.transpose(-1, -2)) * between).tril(-1);
    auto solved = at::linalg_solve_triangular(coupling, at::cat({values * rate, rated * grown}, -1), /*upper=*/false, /*left=*/true,
                                              /*unitriangular=*/true);
    auto change = solved.narrow(-1, 0, width), read = solved.narrow(-1, width, k.size(-1));
    auto seen = at::matmul(q, k.transpose(-1, -2)) * between;
    auto asked = q * grown, kept = (k * (end - decay).exp()).transpose(-1, -2), faded = end.exp();

    std::vector<at::Tensor> outputs, states;
    at::Tensor state;
    int64_t start = 0;
    for (size_t wave = 0; wave < plan.waves.size(); ++wave) {
        auto part = [&](const at::Tensor &x) { return x.narrow(0, start, plan.waves[wave]); };
        if (wave == 0 && !initial.defined()) {
            outputs.push_back(at::matmul(part(seen), part(change)));
            state = at::matmul(part(kept), part(change));
        } else {
            auto held = wave == 0 ? initial : state.index_select(0, plan.before[wave]);
            auto written = part(change) - at::matmul(part(read), held);
            outputs.push_back(at::matmul(part(asked), held) + at::matmul(part(seen), written));
            state = held * part(faded) + at::matmul(part(kept), written);
        }
        if (wants_states) states.push_back(state);
        start += plan.waves[wave];
    }
    auto out = at::cat(outputs).transpose(1, 2).reshape({plan.count * plan.size, heads, width}).index_select(0, plan.places);
    return {out, wants_states ? at::cat(states).index_select(0, plan.ends) : at::Tensor()};
}

/// Keeps its inputs only; the backward pass computes the chunks again.
struct GatedDeltaRule : Function<GatedDeltaRule> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &g,
                              const at::Tensor &beta, c10::intrusive_ptr<ChunkPlan> plan) {
        context->save_for_backward({q, k, v, g, beta});
        context->saved_data["plan"] = c10::IValue::make_capsule(plan);
        WithoutGrad scope;
        return chunked_delta_rule(q, k, v, g, beta, *plan, false).first;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto plan = c10::static_intrusive_pointer_cast<ChunkPlan>(context->saved_data["plan"].toCapsule());
        c10::AutoGradMode with_grad(true);
        variable_list inputs;
        for (const auto &saved : context->get_saved_variables()) inputs.push_back(saved.detach().set_requires_grad(true));
        auto out = chunked_delta_rule(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], *plan, false).first;
        auto results = torch::autograd::grad({out}, inputs, {grads[0]});
        results.push_back(at::Tensor());
        return results;
    }
};

/// A table on a tensor's device that all layers share.
template <typename Table, typename... Arguments>
c10::intrusive_ptr<Table> shared_table(const std::string &name, const lf_segments &segments, const at::Tensor &like, Arguments... arguments) {
    using Shared = c10::intrusive_ptr<Table>;
    auto make = [&] { return std::make_shared<Shared>(c10::make_intrusive<Table>(segments, arguments..., like)); };
    return *segments.tables->get<Shared>(name + ", " + like.device().str(), make);
}

void check_delta_rule(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &g, const at::Tensor &beta) {
    TORCH_CHECK(q.dim() == 3 && k.sizes() == q.sizes() && v.dim() == 3 && v.size(0) == q.size(0) && v.size(1) % q.size(1) == 0,
                "queries, keys and values do not fit each other");
    TORCH_CHECK(g.dim() == 2 && g.size(0) == q.size(0) && g.size(1) == v.size(1) && beta.sizes() == g.sizes(), "decays and rates do not fit the values");
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_segment_convolution(lf_tensor_t x, lf_tensor_t w, lf_segments_t segments, lf_tensor_t *out) {
    return returning(out, [&] {
        const auto &input = x->value;
        TORCH_CHECK(input.dim() == 2 && input.size(0) == segments->tokens() && w->value.size(0) == input.size(1) && w->value.numel() > 0,
                    "the convolution does not fit its input or the segments");
        auto weight = w->value.reshape({input.size(1), -1});
        auto taps = shared_table<Taps>("taps " + std::to_string(weight.size(1)), *segments, input, weight.size(1));
        return Convolution::apply(input, weight, taps);
    });
}

lf_status lf_gated_delta_rule(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_tensor_t g, lf_tensor_t beta, lf_segments_t segments, lf_tensor_t initial,
                              lf_tensor_t *out, lf_tensor_t *states) {
    return guarded([&] {
        check_delta_rule(q->value, k->value, v->value, g->value, beta->value);
        TORCH_CHECK(q->value.size(0) == segments->tokens() && segments->tokens() > 0, "the segments do not fit the tokens");
        auto type = wide(v->value);
        auto plan = shared_table<ChunkPlan>("chunks", *segments, q->value);
        auto query = q->value.to(type), key = k->value.to(type), value = v->value.to(type), decay = g->value.to(type), rate = beta->value.to(type);
        if (!states) {
            *out = adopt(GatedDeltaRule::apply(query, key, value, decay, rate, plan).to(v->value.scalar_type()));
            return;
        }
        WithoutGrad scope;
        at::Tensor begin = initial ? initial->value.to(type) : at::Tensor();
        TORCH_CHECK(!initial || (begin.dim() == 4 && begin.size(0) == plan->waves[0] && begin.size(1) == value.size(1) &&
                                 begin.size(2) == key.size(2) && begin.size(3) == value.size(2)),
                    "the initial states do not fit the segments");
        auto [result, ends] = chunked_delta_rule(query, key, value, decay, rate, *plan, true, begin);
        *out = adopt(result.to(v->value.scalar_type()));
        *states = adopt(ends);
    });
}

lf_status lf_gated_delta_step(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_tensor_t g, lf_tensor_t beta, lf_tensor_t state, lf_tensor_t *out,
                              lf_tensor_t *next) {
    return guarded([&] {
        WithoutGrad scope;
        check_delta_rule(q->value, k->value, v->value, g->value, beta->value);
        const auto &held = state->value;
        auto type = held.scalar_type();
        int64_t heads = v->value.size(1);
        double scale = 1 / std::sqrt(static_cast<double>(q->value.size(2)));
        auto query = for_heads(normalized(q->value.to(type)) * scale, heads).unsqueeze(-2);  // [n, heads, 1, d]
        auto key = for_heads(normalized(k->value.to(type)), heads).unsqueeze(-2);
        auto faded = held * g->value.to(type).exp().unsqueeze(-1).unsqueeze(-1);
        auto written = (v->value.to(type).unsqueeze(-2) - at::matmul(key, faded)) * beta->value.to(type).unsqueeze(-1).unsqueeze(-1);
        faded.addcmul_(key.transpose(-1, -2), written);
        *out = adopt(at::matmul(query, faded).squeeze(-2).to(v->value.scalar_type()));
        *next = adopt(faded);
    });
}
