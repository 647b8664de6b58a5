// Matrix products: which library multiplies, and the linear layers with and without a low-rank adapter.
#include "Internal.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

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

}  // namespace

at::Tensor product(const at::Tensor &x, const at::Tensor &w) {
    if (goes_to_onednn(x, w)) return plain_product().call(x, w, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
    return at::mm(x, w.t());
}

at::Tensor product_plus(const at::Tensor &x, const at::Tensor &w, const at::Tensor &addend) {
    if (goes_to_onednn(x, w) && addend.is_contiguous() && addend.scalar_type() == at::kFloat)
        return summed_product().call(x, addend, w, std::nullopt, "add");
    return at::addmm(addend, x, w.t());
}

namespace {

at::Tensor as(const at::Tensor &tensor, const at::Tensor &like) {
    return tensor.scalar_type() == like.scalar_type() ? tensor : tensor.to(like.scalar_type());
}

/// `dY·W` and `dYᵀ·X` where they are asked for.
struct PlainLinear : Function<PlainLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
        auto weight = as(w, x);
        auto y = product(x, weight);
        if (bias) y.add_(*bias);
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        // x is kept only when the weight is trained.
        context->save_for_backward({w.requires_grad() ? x : at::Tensor(), x.requires_grad() ? w : at::Tensor()});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        auto dy = grads[0].contiguous();
        at::Tensor dx, dw, dbias;
        if (context->needs_input_grad(0)) dx = product(dy, as(saved[1], dy).t());
        if (context->needs_input_grad(1))
            dw = product(dy.t(), saved[0].t()).to(static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt()));
        if (context->saved_data["bias_type"].toInt() >= 0 && context->needs_input_grad(2))
            dbias = dy.sum(0).to(static_cast<at::ScalarType>(context->saved_data["bias_type"].toInt()));
        return {dx, dw, dbias};
    }
};

/// The adapted layer: its backward shares `dY·B` between the input's and A's gradient and never forms `W + BA`.
struct AdaptedLinear : Function<AdaptedLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias,
                              const at::Tensor &a, const at::Tensor &b, double scale) {
        auto down = product(x, as(a, x)).mul_(scale);
        auto y = product_plus(down, as(b, x), product(x, as(w, x)));
        if (bias) y.add_(*bias);
        bool trains_weight = w.requires_grad();
        context->saved_data["scale"] = scale;
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        bool keeps_input = trains_weight || a.requires_grad();
        context->save_for_backward({keeps_input ? x : at::Tensor(), down, w, a, b});
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &x = saved[0], &down = saved[1], &w = saved[2], &a = saved[3], &b = saved[4];
        double scale = context->saved_data["scale"].toDouble();
        auto dy = grads[0].contiguous();
        auto up = product(dy, as(b, dy).t()).mul_(scale);  // scale · dY·B, [T, r]
        at::Tensor dx, dw, dbias, da, db;
        if (context->needs_input_grad(0)) dx = product_plus(up, as(a, dy).t(), product(dy, as(w, dy).t()));
        if (context->needs_input_grad(1)) dw = as(product(dy.t(), x.t()), w);
        size_t next = 2;
        if (context->saved_data["bias_type"].toInt() >= 0 && context->needs_input_grad(next))
            dbias = dy.sum(0).to(static_cast<at::ScalarType>(context->saved_data["bias_type"].toInt()));
        if (a.requires_grad()) da = as(product(up.t(), x.t()), a);
        if (b.requires_grad()) db = as(product(dy.t(), down.t()), b);
        return {dx, dw, dbias, da, db, at::Tensor()};
    }
};

/// oneDNN does not say in words what does not fit.
void check_shapes(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias) {
    TORCH_CHECK(x.dim() == 2 && w.dim() == 2 && x.size(1) == w.size(1), "an input of shape ", x.sizes(), " does not fit a weight of shape ",
                w.sizes());
    TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == w.size(0)), "a bias of shape ", bias->sizes(), " does not fit a weight of shape ",
                w.sizes());
}

std::optional<at::Tensor> optional(lf_tensor_t tensor) {
    return tensor ? std::optional<at::Tensor>(tensor->value) : std::nullopt;
}

}  // namespace
}  // namespace lf

using namespace lf;

bool lf_routes_float32_matmul(void) { return routing(); }
void lf_set_routes_float32_matmul(bool routed) { routing() = routed; }

lf_status lf_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t *out) {
    return returning(out, [&] {
        check_shapes(x->value, w->value, optional(bias));
        if (!c10::GradMode::is_enabled() && has_few_rows(x->value, w->value))
            return product_of_few_rows(x->value, w->value, optional(bias));
        return PlainLinear::apply(x->value, w->value, optional(bias));
    });
}

lf_status lf_lora_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t a, lf_tensor_t b, double scale, lf_tensor_t *out) {
    return returning(out, [&] {
        check_shapes(x->value, w->value, optional(bias));
        TORCH_CHECK(a->value.dim() == 2 && b->value.dim() == 2 && a->value.size(1) == w->value.size(1) && b->value.size(0) == w->value.size(0) &&
                        a->value.size(0) == b->value.size(1),
                    "an adapter of shapes ", a->value.sizes(), " and ", b->value.sizes(), " does not fit a weight of shape ", w->value.sizes());
        if (!c10::GradMode::is_enabled() && has_few_rows(x->value, w->value)) {
            auto down = product(x->value, as(a->value, x->value)).mul_(scale);
            return product_of_few_rows(x->value, w->value, optional(bias)).add_(product(down, as(b->value, x->value)));
        }
        return AdaptedLinear::apply(x->value, w->value, optional(bias), a->value, b->value, scale);
    });
}
