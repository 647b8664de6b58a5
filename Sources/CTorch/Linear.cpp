// Matrix products: which library multiplies, and the linear layers with and without a low-rank adapter.
#include "Internal.hpp"
#include "KernelLayers.hpp"
#include "LearnedRows.hpp"
#include "LowRank.hpp"
#include "Profile.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace at::native {
/// `result = beta · result + alpha · a·b` by oneDNN's product, into the memory that `result` has. Not in libtorch's headers, nor in all its builds.
__attribute__((weak)) void mkldnn_matmul(const Tensor &a, const Tensor &b, const Tensor &result, float beta, float alpha);
}  // namespace at::native

namespace lf {
namespace {

// oneDNN's products, as TorchInductor calls them: plain, and with a fused addition.
using PlainProduct = at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &, c10::string_view,
                                c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
using SummedProduct = at::Tensor(const at::Tensor &, const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
                                 c10::string_view);

const auto &plain_product() {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<PlainProduct>();
    return op;
}
const auto &summed_product() {
    static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "binary").typed<SummedProduct>();
    return op;
}

/// MKL's float32 kernels are slow on processors that are not Intel's; oneDNN's have the same accuracy and are not.
/// The choice depends on the processor alone, so that a resumed run multiplies as the first one did.
bool measured_accurate() {
    WithoutGrad scope;
    auto generator = at::detail::createCPUGenerator(7);
    auto x = at::randn({96, 257}, generator, at::TensorOptions().dtype(at::kFloat));
    auto w = at::randn({65, 257}, generator, at::TensorOptions().dtype(at::kFloat));
    auto exact = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
    auto routed = plain_product().call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "").to(at::kDouble);
    double error = ((routed - exact).abs().max() / exact.abs().max()).item<double>();
    return error < 4e-6;
}

bool probe() {
#if defined(__x86_64__)
    if (!__builtin_cpu_is("amd")) return false;
    try {
        return at::globalContext().hasMKLDNN() && measured_accurate();
    } catch (...) {
        return false;
    }
#else
    return false;
#endif
}

bool &routing() {
    static bool value = probe();
    return value;
}

bool goes_to_onednn(const at::Tensor &x, const at::Tensor &w) {
    return x.is_cpu() && x.scalar_type() == at::kFloat && w.scalar_type() == at::kFloat && x.numel() > 0 && w.numel() > 0 && routing();
}

/// Whether oneDNN's product writes where it is told to, added to what is there.
bool writes_in_place() {
    static const bool value = [] {
        if (!at::native::mkldnn_matmul) return false;
        try {
            WithoutGrad scope;
            auto a = at::arange(1, 1 + 24 * 40, at::kFloat).view({24, 40}).div_(512), b = at::arange(1, 1 + 40 * 32, at::kFloat).view({40, 32}).div_(1024);
            auto result = at::ones({24, 32}, at::kFloat);
            auto exact = at::addmm(result.to(at::kDouble), a.to(at::kDouble), b.to(at::kDouble));
            at::native::mkldnn_matmul(a, b, result, 1, 1);
            return (result.to(at::kDouble) - exact).abs().max().item<double>() < 4e-6 * exact.abs().max().item<double>();
        } catch (...) {
            return false;
        }
    }();
    return value;
}

/// `result = beta · result + x·wᵀ`.
void multiply_in_place(const at::Tensor &x, const at::Tensor &w, const at::Tensor &result, float beta) {
    count_product(x.size(0), x.size(1), w.size(0));
    at::native::mkldnn_matmul(x, w.t(), result, beta, 1);
}

}  // namespace

at::Tensor product(const at::Tensor &x, const at::Tensor &w) {
    if (!goes_to_onednn(x, w)) return at::mm(x, w.t());
    if (x.is_contiguous() || !writes_in_place()) return plain_product().call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
    // The other one would turn an operand whose columns lie in one piece first.
    auto result = at::empty({x.size(0), w.size(0)}, x.options());
    multiply_in_place(x, w, result, 0);
    return result;
}

at::Tensor product_plus(const at::Tensor &x, const at::Tensor &w, const at::Tensor &addend) {
    if (goes_to_onednn(x, w) && addend.is_contiguous() && addend.scalar_type() == at::kFloat)
        return summed_product().call(x, addend, w, std::nullopt, "add");
    return at::addmm(addend, x, w.t());
}

at::Tensor product_plus(const at::Tensor &x, const at::Tensor &w, at::Tensor &&addend) {
    if (!goes_to_onednn(x, w)) return addend.addmm_(x, w.t());
    if (!addend.is_contiguous() || addend.scalar_type() != at::kFloat || !writes_in_place()) return product_plus(x, w, std::as_const(addend));
    multiply_in_place(x, w, addend, 1);
    return std::move(addend);
}

namespace {

at::Tensor as(const at::Tensor &tensor, const at::Tensor &like) {
    return tensor.scalar_type() == like.scalar_type() ? tensor : tensor.to(like.scalar_type());
}

/// `scale · x·m`, `m [K, rank]`.
at::Tensor short_product(const at::Tensor &x, const at::Tensor &m, double scale) {
    if (takes_low_rank(x, m.size(1))) return low_rank_down(x, m, scale);
    return product(x, as(m, x).t()).mul_(scale);
}

/// `y + d·m`, `m [rank, N]`.
at::Tensor plus_short_product(at::Tensor &&y, const at::Tensor &d, const at::Tensor &m) {
    if (!takes_low_rank(y, d.size(1))) return product_plus(d, as(m, y).t(), std::move(y));
    add_low_rank(y, d, m);
    return std::move(y);
}

/// `dᵀ·x`, `[rank, N]`. The short side stands in front: libraries turn that one.
at::Tensor short_gradient(const at::Tensor &d, const at::Tensor &x) {
    return takes_low_rank(x, d.size(1)) ? low_rank_gradient(d, x) : product(d.t(), x.t());
}

/// `dY·W` and `dYᵀ·X` where they are asked for.
struct PlainLinear : Function<PlainLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
        auto weight = as(w, x);
        auto y = product(x, weight);
        if (bias) y.add_(*bias);
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        context->saved_data["learned"] = learned_rows(x.size(0));
        // x is kept only when the weight is trained.
        context->save_for_backward({w.requires_grad() ? x : at::Tensor(), x.requires_grad() ? w : at::Tensor()});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        int64_t rows = grads[0].size(0), learned = context->saved_data["learned"].toInt();
        auto dy = first_rows(grads[0], learned).contiguous();
        at::Tensor dx, dw, dbias;
        if (context->needs_input_grad(0)) dx = with_zero_rows(product(dy, as(saved[1], dy).t()), rows);
        if (context->needs_input_grad(1))
            dw = product(dy.t(), first_rows(saved[0], learned).t()).to(static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt()));
        if (context->saved_data["bias_type"].toInt() >= 0 && context->needs_input_grad(2))
            dbias = dy.sum(0).to(static_cast<at::ScalarType>(context->saved_data["bias_type"].toInt()));
        return {dx, dw, dbias};
    }
};

/// The adapted layer: its backward shares `dY·B` between the input's and A's gradient and never forms `W + BA`.
struct AdaptedLinear : Function<AdaptedLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias,
                              const at::Tensor &a, const at::Tensor &b, double scale) {
        auto down = short_product(x, a.t(), scale);
        auto y = plus_short_product(product(x, as(w, x)), down, b.t());
        if (bias) y.add_(*bias);
        bool trains_weight = w.requires_grad();
        context->saved_data["scale"] = scale;
        context->saved_data["learned"] = learned_rows(x.size(0));
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        bool keeps_input = trains_weight || a.requires_grad();
        context->save_for_backward({keeps_input ? x : at::Tensor(), down, w, a, b});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        int64_t rows = grads[0].size(0), learned = context->saved_data["learned"].toInt();
        auto x = first_rows(saved[0], learned), down = first_rows(saved[1], learned), dy = first_rows(grads[0], learned).contiguous();
        const auto &w = saved[2], &a = saved[3], &b = saved[4];
        double scale = context->saved_data["scale"].toDouble();
        auto up = short_product(dy, b, scale);  // [T, r]
        at::Tensor dx, dw, dbias, da, db;
        if (context->needs_input_grad(0)) dx = with_zero_rows(plus_short_product(product(dy, as(w, dy).t()), up, a), rows);
        if (context->needs_input_grad(1)) dw = as(product(dy.t(), x.t()), w);
        size_t next = 2;
        if (context->saved_data["bias_type"].toInt() >= 0 && context->needs_input_grad(next))
            dbias = dy.sum(0).to(static_cast<at::ScalarType>(context->saved_data["bias_type"].toInt()));
        if (a.requires_grad()) da = as(short_gradient(up, x), a);
        if (b.requires_grad()) db = as(short_gradient(down, dy).t().contiguous(), b);
        return {dx, dw, dbias, da, db, at::Tensor()};
    }
};

/// A layer whose input is `silu(gate) ⊙ up`: the backward forms the input again, which takes a pass over memory, instead of keeping it.
struct GatedLinear : Function<GatedLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &gate, const at::Tensor &up, const at::Tensor &w,
                              const std::optional<at::Tensor> &bias, const std::optional<at::Tensor> &a, const std::optional<at::Tensor> &b, double scale) {
        auto x = silu_mul(gate, up);
        auto y = product(x, as(w, x));
        at::Tensor down;
        if (a) {
            down = short_product(x, a->t(), scale);
            y = plus_short_product(std::move(y), down, b->t());
        }
        if (bias) y.add_(*bias);
        context->saved_data["scale"] = scale;
        context->saved_data["learned"] = learned_rows(x.size(0));
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        context->save_for_backward({gate, up, down, w, a.value_or(at::Tensor()), b.value_or(at::Tensor())});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        int64_t rows = grads[0].size(0), learned = context->saved_data["learned"].toInt();
        auto gate = first_rows(saved[0], learned), up = first_rows(saved[1], learned), down = first_rows(saved[2], learned);
        const auto &w = saved[3], &a = saved[4], &b = saved[5];
        bool is_adapted = a.defined(), trains_a = is_adapted && a.requires_grad();
        auto dy = first_rows(grads[0], learned).to(gate.scalar_type()).contiguous();
        auto x = w.requires_grad() || trains_a ? silu_mul(gate, up) : at::Tensor();
        auto dlow = is_adapted ? short_product(dy, b, context->saved_data["scale"].toDouble()) : at::Tensor();
        variable_list result(7);
        if (context->needs_input_grad(0) || context->needs_input_grad(1)) {
            auto dx = product(dy, as(w, dy).t());
            if (is_adapted) dx = plus_short_product(std::move(dx), dlow, a);
            auto [dgate, dup] = silu_mul_gradients(gate, up, dx);
            if (context->needs_input_grad(0)) result[0] = with_zero_rows(dgate, rows);
            if (context->needs_input_grad(1)) result[1] = with_zero_rows(dup, rows);
        }
        if (w.requires_grad()) result[2] = as(product(dy.t(), x.t()), w);
        if (auto type = context->saved_data["bias_type"].toInt(); type >= 0 && context->needs_input_grad(3))
            result[3] = dy.sum(0).to(static_cast<at::ScalarType>(type));
        if (trains_a) result[4] = as(short_gradient(dlow, x), a);
        if (is_adapted && b.requires_grad()) result[5] = as(short_gradient(down, dy).t().contiguous(), b);
        return result;
    }
};

/// Layers of one input: it is read once for all adapters, and its gradient is summed where it lies.
struct LinearGroup : Function<LinearGroup> {
    /// Where a layer's tensors stand among all; -1 for what it lacks.
    struct Places : torch::CustomClassHolder {
        struct Layer {
            int64_t w, bias, a, b;
            double scale;
            bool is_adapted() const { return a >= 0; }
        };
        std::vector<Layer> layers;
    };

    static variable_list forward(AutogradContext *context, const at::Tensor &x, const at::TensorList &tensors, c10::intrusive_ptr<Places> places) {
        context->set_materialize_grads(false);  // an output that nothing depends on is passed over
        std::vector<at::Tensor> adapters;
        bool keeps_input = false;
        for (const auto &layer : places->layers) {
            keeps_input = keeps_input || tensors[layer.w].requires_grad() || (layer.is_adapted() && tensors[layer.a].requires_grad());
            if (layer.is_adapted()) adapters.push_back(as(tensors[layer.a], x));
        }
        auto together = adapters.empty() ? at::Tensor() : at::cat(adapters, 0);
        auto down = together.defined() ? short_product(x, together.t(), 1) : at::Tensor();
        variable_list outputs, saved = {keeps_input ? x : at::Tensor(), down, together};
        int64_t column = 0;
        for (const auto &layer : places->layers) {
            auto y = product(x, as(tensors[layer.w], x));
            if (layer.is_adapted()) {
                int64_t rank = tensors[layer.a].size(0);
                y = plus_short_product(std::move(y), down.narrow(1, column, rank).mul_(layer.scale), tensors[layer.b].t());
                column += rank;
            }
            if (layer.bias >= 0) y.add_(tensors[layer.bias]);
            outputs.push_back(y);
        }
        saved.insert(saved.end(), tensors.begin(), tensors.end());
        context->save_for_backward(saved);
        context->saved_data["rows"] = x.size(0);
        context->saved_data["learned"] = learned_rows(x.size(0));
        context->saved_data["places"] = c10::IValue::make_capsule(places);
        return outputs;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto all = context->get_saved_variables();
        auto places = c10::static_intrusive_pointer_cast<Places>(context->saved_data["places"].toCapsule());
        int64_t rows = context->saved_data["rows"].toInt(), learned = context->saved_data["learned"].toInt();
        auto x = first_rows(all[0], learned), down = first_rows(all[1], learned);
        const auto &together = all[2];
        auto tensors = at::TensorList(all).slice(3);
        // Gradients of x, of all tensors, and of what is not one.
        variable_list result(1 + tensors.size() + 1);
        auto *of = &result[1];
        at::Tensor dx, ups = down.defined() ? at::zeros_like(down) : at::Tensor();
        bool needs_dx = context->needs_input_grad(0), trains_a = false;
        int64_t column = 0;
        for (size_t i = 0; i < grads.size(); ++i) {
            const auto &layer = places->layers[i];
            int64_t first = column, rank = layer.is_adapted() ? tensors[layer.a].size(0) : 0;
            column += rank;
            if (!grads[i].defined()) continue;
            auto dy = first_rows(grads[i], learned).contiguous();
            const auto &w = tensors[layer.w];
            if (needs_dx) {
                auto turned = as(w, dy).t();
                dx = dx.defined() ? product_plus(dy, turned, std::move(dx)) : product(dy, turned);
            }
            if (w.requires_grad()) of[layer.w] = as(product(dy.t(), x.t()), w);
            if (layer.bias >= 0 && tensors[layer.bias].requires_grad()) of[layer.bias] = as(dy.sum(0), tensors[layer.bias]);
            if (!layer.is_adapted()) continue;
            const auto &b = tensors[layer.b];
            ups.narrow(1, first, rank).copy_(short_product(dy, b, layer.scale));
            trains_a = trains_a || tensors[layer.a].requires_grad();
            if (b.requires_grad()) of[layer.b] = as(short_gradient(down.narrow(1, first, rank), dy).t().contiguous(), b);
        }
        if (needs_dx && dx.defined() && ups.defined()) dx = plus_short_product(std::move(dx), ups, together);
        result[0] = with_zero_rows(dx, rows);
        if (trains_a) share_rows(short_gradient(ups, x), grads, *places, tensors, of);
        return result;
    }

    /// Each adapter's A has its rows of what was computed for all.
    static void share_rows(const at::Tensor &rows, const variable_list &grads, const Places &places, at::TensorList tensors, at::Tensor *of) {
        int64_t row = 0;
        for (size_t i = 0; i < grads.size(); ++i) {
            const auto &layer = places.layers[i];
            if (!layer.is_adapted()) continue;
            const auto &a = tensors[layer.a];
            if (a.requires_grad() && grads[i].defined()) of[layer.a] = as(rows.narrow(0, row, a.size(0)), a).clone();
            row += a.size(0);
        }
    }
};

/// oneDNN does not say in words what does not fit.
void check_shapes(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
    TORCH_CHECK(x.dim() == 2 && w.dim() == 2 && x.size(1) == w.size(1), "an input of shape ", x.sizes(), " does not fit a weight of shape ",
                w.sizes());
    TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == w.size(0)), "a bias of shape ", bias->sizes(), " does not fit a weight of shape ",
                w.sizes());
}

void check_adapter(const at::Tensor &w, const at::Tensor &a, const at::Tensor &b) {
    TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == w.size(1) && b.size(0) == w.size(0) && a.size(0) == b.size(1), "an adapter of shapes ",
                a.sizes(), " and ", b.sizes(), " does not fit a weight of shape ", w.sizes());
}

std::optional<at::Tensor> optional(lf_tensor_t tensor) {
    return tensor ? std::optional<at::Tensor>(tensor->value) : std::nullopt;
}

/// What a layer gives off the CPU where kernels run.
std::optional<at::Tensor> kernel_linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias, const at::Tensor &a = {},
                                        const at::Tensor &b = {}, double scale = 1) {
    if (x.is_cpu()) return std::nullopt;
    std::vector<KernelLinear> layers{{w, bias.value_or(at::Tensor()), a, b, scale}};
    if (!takes_kernel_linears(x, layers)) return std::nullopt;
    return kernel_linears(x, layers)[0];
}

at::Tensor plain_linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
    check_shapes(x, w, bias);
    if (!c10::GradMode::is_enabled() && has_few_rows(x, w)) return product_of_few_rows(x, w, bias);
    if (auto result = kernel_linear(x, w, bias)) return *result;
    return PlainLinear::apply(x, w, bias);
}

at::Tensor adapted_linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias, const at::Tensor &a, const at::Tensor &b,
                          double scale) {
    check_shapes(x, w, bias);
    check_adapter(w, a, b);
    if (!c10::GradMode::is_enabled() && has_few_rows(x, w)) {
        auto down = product(x, as(a, x)).mul_(scale);
        return product_of_few_rows(x, w, bias).add_(product(down, as(b, x)));
    }
    if (auto result = kernel_linear(x, w, bias, a, b, scale)) return *result;
    return AdaptedLinear::apply(x, w, bias, a, b, scale);
}

variable_list linear_group(const at::Tensor &x, const lf_linear_layer *layers, size_t count) {
    variable_list outputs, tensors;
    auto places = c10::make_intrusive<LinearGroup::Places>();
    bool has_few = false;
    auto tensor = [](lf_tensor_t handle) { return handle ? handle->value : at::Tensor(); };
    std::vector<KernelLinear> off_cpu;
    auto place = [&](lf_tensor_t tensor) -> int64_t {
        if (!tensor) return -1;
        tensors.push_back(tensor->value);
        return tensors.size() - 1;
    };
    for (size_t i = 0; i < count; ++i) {
        const auto &layer = layers[i];
        check_shapes(x, layer.w->value, optional(layer.bias));
        if (layer.a) check_adapter(layer.w->value, layer.a->value, layer.b->value);
        int64_t w = place(layer.w), bias = place(layer.bias), a = place(layer.a), b = place(layer.b);
        places->layers.push_back({w, bias, a, b, layer.scale});
        if (!x.is_cpu()) off_cpu.push_back({layer.w->value, tensor(layer.bias), tensor(layer.a), tensor(layer.b), layer.scale});
        has_few = has_few || has_few_rows(x, layer.w->value);
    }
    if (!x.is_cpu() && takes_kernel_linears(x, off_cpu)) return kernel_linears(x, off_cpu);
    if (c10::GradMode::is_enabled() || !has_few) return LinearGroup::apply(x, at::TensorList(tensors), places);
    for (size_t i = 0; i < count; ++i) {
        const auto &layer = layers[i];
        outputs.push_back(layer.a ? adapted_linear(x, layer.w->value, optional(layer.bias), layer.a->value, layer.b->value, layer.scale)
                                  : plain_linear(x, layer.w->value, optional(layer.bias)));
    }
    return outputs;
}

}  // namespace
}  // namespace lf

using namespace lf;

bool lf_routes_float32_matmul(void) { return routing(); }
void lf_set_routes_float32_matmul(bool routed) { routing() = routed; }

lf_status lf_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t *out) {
    return returning(out, [&] { return plain_linear(x->value, w->value, optional(bias)); });
}

lf_status lf_lora_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t a, lf_tensor_t b, double scale, lf_tensor_t *out) {
    return returning(out, [&] { return adapted_linear(x->value, w->value, optional(bias), a->value, b->value, scale); });
}

lf_status lf_gated_linear(lf_tensor_t gate, lf_tensor_t up, const lf_linear_layer *layer, lf_tensor_t *out) {
    return returning(out, [&] {
        check_shapes(gate->value, layer->w->value, optional(layer->bias));
        if (layer->a) check_adapter(layer->w->value, layer->a->value, layer->b->value);
        return GatedLinear::apply(gate->value, up->value, layer->w->value, optional(layer->bias), optional(layer->a), optional(layer->b), layer->scale);
    });
}

lf_status lf_linear_group(lf_tensor_t x, const lf_linear_layer *layers, size_t count, lf_tensor_t *outs) {
    return guarded([&] {
        auto outputs = linear_group(x->value, layers, count);
        for (size_t i = 0; i < count; ++i) outs[i] = adopt(outputs[i]);
    });
}
