// The language-model head as log-probabilities of chosen tokens: logits exist a chunk at a time.
#include "Lanes.hpp"
#include "Launcher.hpp"
#include "Parallel.hpp"
#include "Profile.hpp"

#include <ATen/core/ivalue.h>
#include <cmath>
#include <cstring>
#include <torch/csrc/autograd/custom_function.h>
#include <type_traits>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

/// e^x to about one unit in the last place, in a form that compilers vectorise: 2^n times a polynomial on [-ln2/2, ln2/2].
inline __attribute__((always_inline)) float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shifter = 12582912.0f;  // 1.5·2^23: adding it rounds to an integer
    float shifted = x * 1.44269504088896341f + shifter;
    float n = shifted - shifter;
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits;
    std::memcpy(&bits, &shifted, 4);
    bits = (bits - 0x4B400000 + 127) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return p * power;
}
inline __attribute__((always_inline)) double exponential(double x) { return std::exp(x); }

/// The greatest number of a row. A loop over single numbers would wait for each comparison.
template <typename scalar> LF_INLINE float greatest(const scalar *row, int64_t width) {
    constexpr int chains = 4;
    float top = -std::numeric_limits<float>::infinity();
    lanes tops[chains], x;
    for (auto &part : tops) part = lanes{} + top;
    int64_t i = 0;
    for (; i + chains * lane_count <= width; i += chains * lane_count)
        for (int c = 0; c < chains; ++c) {
            load(row + i + c * lane_count, x);
            tops[c] = x > tops[c] ? x : tops[c];
        }
    for (const auto &part : tops)
        for (int j = 0; j < lane_count; ++j) top = part[j] > top ? part[j] : top;
    for (; i < width; ++i) top = float(row[i]) > top ? float(row[i]) : top;
    return top;
}
inline double greatest(const double *row, int64_t width) {
    double top = -std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < width; ++i) top = row[i] > top ? row[i] : top;
    return top;
}

/// One row of logits becomes `exp(logit - max)` in place. Returns max and sum, from which all else follows.
template <typename scalar>
inline __attribute__((always_inline)) void exponentiate_row(scalar *row, int64_t width, accumulated<scalar> *max_out, accumulated<scalar> *sum_out) {
    using real = accumulated<scalar>;
    real top = greatest(row, width), sum = 0;
    {
#pragma clang fp reassociate(on)
        for (int64_t i = 0; i < width; ++i) {
            real e = exponential(real(row[i]) - top);
            row[i] = scalar(e);
            sum += e;
        }
    }
    *max_out = top;
    *sum_out = sum;
}

LF_SIMD void exponentiate_f32(float *row, int64_t width, float *top, float *sum) { exponentiate_row<float>(row, width, top, sum); }
LF_SIMD void exponentiate_bf16(c10::BFloat16 *row, int64_t width, float *top, float *sum) {
    exponentiate_row<c10::BFloat16>(row, width, top, sum);
}
void exponentiate_f64(double *row, int64_t width, double *top, double *sum) { exponentiate_row<double>(row, width, top, sum); }

/// What one chunk of logits yields.
struct ChunkResult {
    at::Tensor log_probs;  // [C], wide
    at::Tensor sums;       // [C], wide: the row sums of the exponentials
    at::Tensor correct;    // [C] bool, when asked for
};

template <typename scalar, typename Kernel>
void reduce_rows(Kernel kernel, at::Tensor &logits, const int64_t *ids, ChunkResult &result) {
    using real = accumulated<scalar>;
    int64_t width = logits.size(1);
    scalar *data = mutable_elements<scalar>(logits);
    real *log_probs = mutable_elements<real>(result.log_probs), *sums = mutable_elements<real>(result.sums);
    bool *correct = result.correct.defined() ? mutable_elements<bool>(result.correct) : nullptr;
    parallel_for(logits.size(0), 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            scalar *row = data + r * width;
            real chosen = real(row[ids[r]]), top;
            bool leads = true;
            if (correct)
                for (int64_t i = 0; i < width && leads; ++i) leads = real(row[i]) < chosen || (real(row[i]) == chosen && i >= ids[r]);
            kernel(row, width, &top, &sums[r]);
            log_probs[r] = chosen - top - std::log(sums[r]);
            if (correct) correct[r] = leads;
        }
    });
}

std::string head_kernel(const char *name, const at::Tensor &logits) {
    return c10::str("head_", name, "<", kernels::type_name(logits.scalar_type()), ", ", logits.scalar_type() == at::kDouble ? "double" : "float", ">");
}

/// Whether the shim's own kernels go over these logits.
bool has_head_kernels(const at::Tensor &logits) { return kernels::run_on(logits) && logits.is_contiguous() && !kernels::type_name(logits.scalar_type()).empty(); }

/// Turns `logits [C, vocab]` into exponentials in place and returns the log-probabilities of `ids`.
ChunkResult reduce(at::Tensor &logits, const at::Tensor &ids, bool wants_correct) {
    auto wide = logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    ChunkResult result;
    result.log_probs = at::empty({logits.size(0)}, logits.options().dtype(wide));
    result.sums = at::empty_like(result.log_probs);
    if (logits.is_cpu() && logits.is_contiguous() &&
        (logits.scalar_type() == at::kFloat || logits.scalar_type() == at::kDouble || logits.scalar_type() == at::kBFloat16)) {
        if (wants_correct) result.correct = at::empty({logits.size(0)}, logits.options().dtype(at::kBool));
        const int64_t *chosen = elements<int64_t>(ids);
        if (logits.scalar_type() == at::kFloat) reduce_rows<float>(exponentiate_f32, logits, chosen, result);
        else if (logits.scalar_type() == at::kDouble) reduce_rows<double>(exponentiate_f64, logits, chosen, result);
        else reduce_rows<c10::BFloat16>(exponentiate_bf16, logits, chosen, result);
        return result;
    }
    if (has_head_kernels(logits)) {
        if (wants_correct) result.correct = at::empty({logits.size(0)}, logits.options().dtype(at::kBool));
        kernels::launch(head_kernel("rows", logits), logits, logits.size(0), kernels::data(logits), kernels::data(ids), kernels::data(result.log_probs),
                        kernels::data(result.sums), kernels::data(result.correct), (long long)logits.size(1));
        return result;
    }
    auto values = logits.to(wide);
    auto top = values.amax(-1, true), chosen = values.gather(1, ids.unsqueeze(1));
    if (wants_correct) result.correct = values.argmax(-1) == ids;
    auto exponentials = (values - top).exp();
    result.sums = exponentials.sum(-1);
    result.log_probs = (chosen - top).squeeze(1) - result.sums.log();
    logits.copy_(exponentials);
    return result;
}

constexpr int64_t chunk_bytes = int64_t(32) << 20;
/// Off the CPU few large chunks are quicker. How much memory is free does not count: a resumed run must sum as the first one did.
constexpr int64_t chunk_bytes_off_cpu = int64_t(512) << 20;
/// Exponentials of a trained head are kept for the backward up to this size; beyond it they are computed again.
constexpr int64_t kept_bytes = int64_t(128) << 20;

int64_t rows_per_chunk(const at::Tensor &w, int64_t element_size) {
    return std::max<int64_t>(32, (w.is_cpu() ? chunk_bytes : chunk_bytes_off_cpu) / std::max<int64_t>(1, w.size(0) * element_size));
}

using Bias = std::optional<at::Tensor>;

Bias optional(lf_tensor_t tensor) { return tensor ? Bias(tensor->value) : std::nullopt; }

/// What logits become behind the product.
struct Shaping {
    double scale, softcap;
    bool widens;  // whether all from here on is float32, whatever the product is in

    void save(AutogradContext *context) const {
        context->saved_data["logit_scale"] = scale;
        context->saved_data["softcap"] = softcap;
        context->saved_data["widens"] = widens;
    }
    static Shaping saved(AutogradContext *context) {
        return {context->saved_data["logit_scale"].toDouble(), context->saved_data["softcap"].toDouble(), context->saved_data["widens"].toBool()};
    }
    /// Bytes of a logit.
    int64_t size(const at::Tensor &h) const { return widens ? std::max<int64_t>(4, h.element_size()) : h.element_size(); }
};

/// The product with a matrix of another type: in the matrix' own.
at::Tensor fitted_product(const at::Tensor &a, const at::Tensor &b) { return product(a.to(b.scalar_type()), b); }

/// Logits of `h [C, hidden]`, capped; `slope [C, vocab]` receives the cap's derivative when there is a cap.
at::Tensor chunk_logits(const at::Tensor &h, const at::Tensor &w, const Bias &bias, const Shaping &shaping, at::Tensor *slope) {
    auto logits = product(h, w);
    if (bias) logits.add_(*bias);
    if (shaping.widens && logits.scalar_type() != at::kDouble) logits = logits.to(at::kFloat);
    if (shaping.scale != 1) logits.mul_(shaping.scale);
    if (shaping.softcap > 0) {
        auto t = at::tanh(logits / shaping.softcap);
        logits = (t * shaping.softcap).contiguous();
        if (slope) *slope = 1 - t * t;
    }
    return logits.contiguous();
}

/// Of the rows that a head scores, the first ones that have a gradient, and the last ones that fill their number up.
struct Targets {
    int64_t count, learned, filling;

    /// Takes back from a recording what `products` with the whole head did for rows that nobody asked for.
    void forget_filling(int products, const at::Tensor &w) const { count_operations(-2.0 * products * double(filling) * double(w.numel())); }
};

/// Gradients of what a trained head multiplies, summed chunk by chunk.
struct HeadGradients : torch::CustomClassHolder {
    /// Of the rows that are scored, of the weight and of the bias, where they are asked for.
    at::Tensor selected, weight, bias;
    bool trains_weight;

    /// `selected` and `b` are undefined where they have none.
    HeadGradients(const at::Tensor &selected, const at::Tensor &b, bool trains_weight) : trains_weight(trains_weight) {
        if (selected.defined()) this->selected = at::empty_like(selected);
        if (b.defined()) bias = at::zeros_like(b);
    }

    int products() const { return int(selected.defined()) + int(trains_weight); }

    /// Adds a chunk's share, `grad [C]` being the gradient of its log-probabilities; `logits` hold its exponentials, which are lost.
    void add(at::Tensor &logits, const at::Tensor &sums, const at::Tensor &chosen, const at::Tensor &grad, const at::Tensor &slope, double scale,
             const at::Tensor &h, const at::Tensor &w, int64_t begin) {
        // d loss / d logits = grad · (onehot − softmax), in place of the exponentials.
        if (has_head_kernels(logits) && !slope.defined()) {
            auto row_grad = grad.contiguous();
            kernels::launch(head_kernel("gradient", logits), logits, h.size(0), kernels::data(logits), kernels::data(chosen), kernels::data(sums),
                            kernels::data(row_grad), (long long)logits.size(1), scale);
        } else {
            logits.mul_((-grad / sums).to(logits.scalar_type()).unsqueeze(1));
            logits.scatter_add_(1, chosen.unsqueeze(1), grad.to(logits.scalar_type()).unsqueeze(1));
            if (slope.defined()) logits.mul_(slope);
            if (scale != 1) logits.mul_(scale);
        }
        if (selected.defined()) selected.narrow(0, begin, h.size(0)).copy_(fitted_product(logits, w.t()));
        if (bias.defined()) bias.add_(logits.sum(0));
        if (!trains_weight) return;
        auto turned = logits.to(h.scalar_type()).t();
        weight = weight.defined() ? product_plus(turned, h.t(), std::move(weight)) : product(turned, h.t());
    }

    /// The weight's in another type; it is let go of here.
    at::Tensor take_weight(const at::Tensor &like, at::ScalarType type) {
        auto result = weight.defined() ? std::move(weight) : at::zeros_like(like);
        return result.to(type);
    }
};

/// By which factor `actual` is a multiple of `expected`; nothing where it is none.
std::optional<double> multiple(const at::Tensor &actual, const at::Tensor &expected) {
    auto a = actual.to(at::kDouble).contiguous(), e = expected.to(at::kDouble).contiguous();
    const double *x = elements<double>(a), *y = elements<double>(e);
    int64_t first = 0, count = a.numel();
    while (first < count && y[first] == 0) ++first;
    double factor = first < count ? x[first] / y[first] : 0;
    for (int64_t i = 0; i < count; ++i)
        if (!(std::abs(x[i] - factor * y[i]) <= 1e-6 * std::abs(factor * y[i]))) return std::nullopt;
    return factor;
}

struct HeadLogProbs : Function<HeadLogProbs> {
    static variable_list forward(AutogradContext *context, const at::Tensor &h, const at::Tensor &w, const at::Tensor &row_index,
                                 const at::Tensor &ids, const Bias &bias, Shaping shaping, bool wants_correct,
                                 int64_t entropy_count, bool records, Targets targets, const std::optional<at::Tensor> &expected) {
        bool trains_head = records && (w.requires_grad() || (bias && bias->requires_grad())), trains_input = records && h.requires_grad();
        auto selected = h.index_select(0, row_index);
        auto weight = w.scalar_type() == h.scalar_type() ? w : w.to(h.scalar_type());
        int64_t count = selected.size(0), step = rows_per_chunk(weight, shaping.size(selected));
        auto wide = h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        auto log_probs = at::empty({count}, h.options().dtype(wide));
        at::Tensor correct = at::empty({wants_correct ? count : 0}, h.options().dtype(at::kBool));
        at::Tensor entropy = at::empty({entropy_count > 0 ? count : 0}, log_probs.options());
        // With a frozen head, d logp / dh = scale·(W[id] − softmax·W) is known already: its product replaces the backward's.
        bool folds_backward = trains_input && !trains_head;
        at::Tensor folded = folds_backward ? at::empty_like(selected.narrow(0, 0, targets.learned)) : at::Tensor();
        // So it is with a trained one whose results' gradients are known up to a factor.
        c10::intrusive_ptr<HeadGradients> gradients;
        if (trains_head && expected)
            gradients = c10::make_intrusive<HeadGradients>(trains_input ? selected.narrow(0, 0, targets.learned) : at::Tensor(),
                                                           bias && bias->requires_grad() ? *bias : at::Tensor(), w.requires_grad());
        bool keeps = trains_head && !gradients && shaping.softcap <= 0 && targets.learned * weight.size(0) * shaping.size(selected) <= kept_bytes;
        std::vector<at::Tensor> kept, kept_sums;
        for (int64_t begin = 0; begin < count; begin += step) {
            int64_t length = std::min(step, count - begin);
            int64_t learned = std::clamp<int64_t>(targets.learned - begin, 0, length);
            auto chunk = selected.narrow(0, begin, length), chosen = ids.narrow(0, begin, length);
            at::Tensor slope;
            auto logits = chunk_logits(chunk, weight, bias, shaping, folds_backward || gradients ? &slope : nullptr);
            auto result = reduce(logits, chosen, wants_correct);
            log_probs.narrow(0, begin, length).copy_(result.log_probs);
            if (wants_correct) correct.narrow(0, begin, length).copy_(result.correct);
            if (entropy_count > 0) {
                // The exponentials' shares of one another are the top probabilities, normalised anew.
                auto top = std::get<0>(logits.topk(std::min(entropy_count, logits.size(1)), -1, true, false)).to(wide);
                entropy.narrow(0, begin, length).copy_(at::special_entr(top / top.sum(-1, true)).sum(-1));
            }
            if (learned == 0) continue;
            chosen = chosen.narrow(0, 0, learned), logits = logits.narrow(0, 0, learned), result.sums = result.sums.narrow(0, 0, learned);
            if (slope.defined()) slope = slope.narrow(0, 0, learned);
            if (gradients)
                gradients->add(logits, result.sums, chosen, expected->narrow(0, begin, learned), slope, shaping.scale, chunk.narrow(0, 0, learned), weight, begin);
            if (folds_backward && !slope.defined() && has_head_kernels(logits) && logits.scalar_type() == weight.scalar_type() && weight.is_contiguous() &&
                weight.scalar_type() == folded.scalar_type()) {
                auto mean = product(logits, weight.t());
                kernels::launch(head_kernel("fold", logits), logits, learned, kernels::data(mean), kernels::data(weight), kernels::data(chosen),
                                kernels::data(result.sums), kernels::data(folded.narrow(0, begin, learned)), (long long)weight.size(1), shaping.scale);
            } else if (folds_backward) {
                auto target = weight.index_select(0, chosen);
                if (slope.defined()) {
                    logits.mul_(slope);
                    target = target * slope.gather(1, chosen.unsqueeze(1));
                }
                auto mean = fitted_product(logits, weight.t());
                folded.narrow(0, begin, learned).copy_((target - mean.div_(result.sums.to(mean.scalar_type()).unsqueeze(1))).mul_(shaping.scale));
            }
            if (keeps) {
                kept.push_back(logits);
                kept_sums.push_back(result.sums);
            }
        }
        targets.forget_filling(1 + (folds_backward ? 1 : gradients ? gradients->products() : 0), weight);
        context->saved_data["learned"] = targets.learned;
        context->saved_data["filling"] = targets.learned == count ? targets.filling : int64_t(0);
        context->saved_data["rows"] = h.size(0);
        shaping.save(context);
        context->saved_data["folds"] = folds_backward;
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        if (folds_backward) {
            context->save_for_backward({folded, row_index});
        } else if (trains_head) {
            if (gradients) context->saved_data["gradients"] = c10::IValue::make_capsule(gradients);
            std::vector<at::Tensor> saved = {selected, weight, row_index, ids, bias.value_or(at::Tensor()), expected.value_or(at::Tensor())};
            saved.insert(saved.end(), kept.begin(), kept.end());
            saved.insert(saved.end(), kept_sums.begin(), kept_sums.end());
            context->save_for_backward(saved);
        }
        context->mark_non_differentiable({correct, entropy});
        return {log_probs, correct, entropy};
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        int64_t row_count = context->saved_data["rows"].toInt();
        auto spread = [&](const at::Tensor &per_target, const at::Tensor &row_index) {
            return at::zeros({row_count, per_target.size(1)}, per_target.options()).index_add_(0, row_index, per_target);
        };
        int64_t count = context->saved_data["learned"].toInt();
        auto dlog_probs = grads[0].narrow(0, 0, count);
        if (context->saved_data["folds"].toBool()) {
            auto per_target = saved[0] * dlog_probs.to(saved[0].scalar_type()).unsqueeze(1);
            return {spread(per_target, saved[1].narrow(0, 0, count)), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(),
                    at::Tensor(), at::Tensor()};
        }
        auto selected = saved[0].narrow(0, 0, count), row_index = saved[2].narrow(0, 0, count), ids = saved[3].narrow(0, 0, count);
        const auto &weight = saved[1];
        Bias bias = saved[4].defined() ? Bias(saved[4]) : std::nullopt;
        auto weight_type = static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt());
        auto result = [&](HeadGradients &of, double factor) {
            variable_list all(11);
            if (of.selected.defined()) all[0] = spread(factor == 1 ? of.selected : of.selected.mul_(factor), row_index);
            if (of.trains_weight) all[1] = of.take_weight(weight, weight_type);
            if (of.trains_weight && factor != 1) all[1].mul_(factor);
            if (of.bias.defined()) all[4] = of.bias.mul_(factor);
            return all;
        };
        if (auto known = context->saved_data.find("gradients"); known != context->saved_data.end()) {
            auto gradients = c10::static_intrusive_pointer_cast<HeadGradients>(known->second.toCapsule());
            context->saved_data.erase("gradients");
            if (auto factor = multiple(dlog_probs, saved[5].narrow(0, 0, count))) return result(*gradients, *factor);
        }
        auto shaping = Shaping::saved(context);
        int64_t step = rows_per_chunk(weight, shaping.size(selected));
        size_t chunks = static_cast<size_t>((count + step - 1) / step);
        bool kept = saved.size() > 6 && chunks > 0;
        HeadGradients gradients(context->needs_input_grad(0) ? selected : at::Tensor(), bias && context->needs_input_grad(4) ? *bias : at::Tensor(),
                                context->needs_input_grad(1));
        for (size_t c = 0; c < chunks; ++c) {
            int64_t begin = static_cast<int64_t>(c) * step, length = std::min(step, count - begin);
            auto chunk = selected.narrow(0, begin, length), chosen = ids.narrow(0, begin, length);
            at::Tensor slope, logits, sums;
            if (kept) {
                // Nobody reads them again: the graph goes with its backward pass.
                logits = saved[6 + c];
                sums = saved[6 + chunks + c];
            } else {
                logits = chunk_logits(chunk, weight, bias, shaping, &slope);
                sums = reduce(logits, chosen, false).sums;
                count_operations(-2.0 * double(length) * double(weight.numel()));  // a second time
            }
            gradients.add(logits, sums, chosen, dlog_probs.narrow(0, begin, length), slope, shaping.scale, chunk, weight, begin);
        }
        Targets{count, count, context->saved_data["filling"].toInt()}.forget_filling(gradients.products(), weight);
        return result(gradients, 1);
    }
};

/// `KL(q ‖ p)` per row, q the softmax over a frozen head's logits and p over the trained one's; both exist a chunk at a time,
/// in the backward pass again.
struct HeadDivergence : Function<HeadDivergence> {
    /// Log-probabilities of a chunk, and the cap's derivative.
    static at::Tensor log_probs(const at::Tensor &h, const at::Tensor &w, const Bias &bias, const Shaping &shaping, at::Tensor *slope) {
        auto wide = h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
        return chunk_logits(h, w, bias, shaping, slope).to(wide).log_softmax(-1);
    }

    static at::Tensor forward(AutogradContext *context, const at::Tensor &h, const at::Tensor &w, const at::Tensor &other_h,
                              const at::Tensor &other_w, const at::Tensor &row_index, const Bias &bias, const Bias &other_bias,
                              Shaping shaping) {
        auto selected = h.index_select(0, row_index), other = other_h.index_select(0, row_index);
        auto weight = w.to(h.scalar_type()), other_weight = other_w.to(other_h.scalar_type());
        int64_t count = selected.size(0), step = rows_per_chunk(weight, shaping.size(selected));
        auto result = at::empty({count}, h.options().dtype(h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
        for (int64_t begin = 0; begin < count; begin += step) {
            int64_t length = std::min(step, count - begin);
            auto p = log_probs(selected.narrow(0, begin, length), weight, bias, shaping, nullptr);
            auto q = log_probs(other.narrow(0, begin, length), other_weight, other_bias, shaping, nullptr);
            result.narrow(0, begin, length).copy_((q.exp() * (q - p)).sum(-1));
        }
        context->saved_data["rows"] = h.size(0);
        shaping.save(context);
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        context->save_for_backward({selected, weight, other, other_weight, row_index, bias.value_or(at::Tensor()), other_bias.value_or(at::Tensor())});
        return result;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &selected = saved[0], &weight = saved[1], &other = saved[2], &other_weight = saved[3], &row_index = saved[4];
        Bias bias = saved[5].defined() ? Bias(saved[5]) : std::nullopt, other_bias = saved[6].defined() ? Bias(saved[6]) : std::nullopt;
        auto shaping = Shaping::saved(context);
        int64_t count = selected.size(0), step = rows_per_chunk(weight, shaping.size(selected));
        at::Tensor dselected = context->needs_input_grad(0) ? at::empty_like(selected) : at::Tensor();
        at::Tensor dweight = context->needs_input_grad(1) ? at::zeros_like(weight) : at::Tensor();
        at::Tensor dbias = bias && context->needs_input_grad(5) ? at::zeros_like(*bias) : at::Tensor();
        for (int64_t begin = 0; begin < count; begin += step) {
            int64_t length = std::min(step, count - begin);
            auto chunk = selected.narrow(0, begin, length);
            at::Tensor slope;
            auto p = log_probs(chunk, weight, bias, shaping, &slope).exp();
            auto q = log_probs(other.narrow(0, begin, length), other_weight, other_bias, shaping, nullptr).exp();
            auto dlogits = p.sub_(q).mul_(grads[0].narrow(0, begin, length).unsqueeze(1)).to(selected.scalar_type());
            if (slope.defined()) dlogits.mul_(slope);
            if (shaping.scale != 1) dlogits.mul_(shaping.scale);
            if (dselected.defined()) dselected.narrow(0, begin, length).copy_(product(dlogits, weight.t()));
            if (dbias.defined()) dbias.add_(dlogits.sum(0));
            if (dweight.defined()) dweight.add_(product(dlogits.t(), chunk.t()));
        }
        at::Tensor dh;
        if (dselected.defined()) {
            dh = at::zeros({context->saved_data["rows"].toInt(), selected.size(1)}, dselected.options()).index_add_(0, row_index, dselected);
        }
        if (dweight.defined()) dweight = dweight.to(static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt()));
        return {dh, dweight, at::Tensor(), at::Tensor(), at::Tensor(), dbias, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_head_log_probs(lf_tensor_t h, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t rows, lf_tensor_t ids, double logit_scale, double softcap,
                            bool widens, int64_t learned, lf_tensor_t expected, lf_tensor_t *out, lf_tensor_t *correct, int64_t entropy_count, lf_tensor_t *entropy) {
    return guarded([&] {
        const auto &row_index = rows->value, &chosen = ids->value;
        TORCH_CHECK(h->value.dim() == 2 && w->value.dim() == 2 && h->value.size(1) == w->value.size(1) && row_index.dim() == 1 &&
                        row_index.sizes() == chosen.sizes() && row_index.scalar_type() == at::kLong && chosen.scalar_type() == at::kLong,
                    "hidden states, head and targets do not fit each other");
        TORCH_CHECK(!bias || (bias->value.dim() == 1 && bias->value.size(0) == w->value.size(0)), "the head's bias does not fit its weight");
        if (chosen.numel() > 0 && chosen.is_cpu()) {
            auto [low, high] = at::aminmax(chosen);
            TORCH_CHECK(low.item<int64_t>() >= 0 && high.item<int64_t>() < w->value.size(0), "a target id lies outside the vocabulary of ",
                        w->value.size(0));
        }
        // A round number of rows on the CPU, for the same reason as in DeviceStream: few shapes, few compiled kernels.
        int64_t count = chosen.numel(), step = !chosen.is_cpu() || count < 64 ? 1 : count < 256 ? 16 : 64;
        int64_t filling = (step - count % step) % step;
        if (learned < 0 || learned > count) learned = count;
        learned = std::min((learned + step - 1) / step * step, count + filling);
        auto rounded = [&](const at::Tensor &index) {
            return filling == 0 ? index.contiguous() : at::cat({index, at::zeros({filling}, index.options())});
        };
        std::optional<at::Tensor> filled_weights;
        if (expected && h->value.is_cpu() && h->value.scalar_type() != at::kHalf) {
            TORCH_CHECK(expected->value.sizes() == chosen.sizes(), "expected gradients do not fit the targets");
            auto wide = expected->value.to(h->value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
            filled_weights = filling == 0 ? wide : at::cat({wide, at::zeros({filling}, wide.options())});
        }
        auto result = HeadLogProbs::apply(h->value, w->value, rounded(row_index), rounded(chosen), optional(bias), Shaping{logit_scale, softcap, widens}, correct != nullptr,
                                          entropy ? entropy_count : 0, c10::GradMode::is_enabled(), Targets{count + filling, learned, filling},
                                          filled_weights);
        auto scored = [&](const at::Tensor &values) { return adopt(values.size(0) == count ? values : values.narrow(0, 0, count)); };
        *out = scored(result[0]);
        if (correct) *correct = scored(result[1]);
        if (entropy) *entropy = scored(result[2]);
    });
}

lf_status lf_head_divergence(lf_tensor_t h, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t other_h, lf_tensor_t other_w, lf_tensor_t other_bias,
                             lf_tensor_t rows, double logit_scale, double softcap, bool widens, lf_tensor_t *out) {
    return guarded([&] {
        TORCH_CHECK(h->value.dim() == 2 && w->value.dim() == 2 && h->value.size(1) == w->value.size(1) && other_h->value.dim() == 2 &&
                        other_w->value.dim() == 2 && other_h->value.size(1) == other_w->value.size(1) &&
                        h->value.size(0) == other_h->value.size(0) && w->value.size(0) == other_w->value.size(0) && rows->value.dim() == 1 &&
                        rows->value.scalar_type() == at::kLong,
                    "hidden states and heads of the two models do not fit each other");
        *out = adopt(HeadDivergence::apply(h->value, w->value, other_h->value.detach(), other_w->value.detach(), rows->value.contiguous(),
                                           optional(bias), optional(other_bias), Shaping{logit_scale, softcap, widens}));
    });
}
