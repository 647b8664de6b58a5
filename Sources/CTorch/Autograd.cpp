// Gradients: reading, clearing, backward passes and recomputation.
#include "Internal.hpp"

#include <memory>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/variable.h>

using namespace lf;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

bool lf_requires_grad(lf_tensor_t tensor) { return tensor->value.requires_grad(); }

lf_status lf_set_requires_grad(lf_tensor_t tensor, bool enabled) {
    return guarded([&] {
        TORCH_CHECK(tensor->value.is_leaf() || enabled, "only tensors that no operation made can be frozen; detach this one");
        tensor->value.set_requires_grad(enabled);
    });
}

lf_status lf_grad(lf_tensor_t tensor, lf_tensor_t *out) {
    return guarded([&] {
        const auto &grad = tensor->value.grad();
        *out = grad.defined() ? adopt(grad) : nullptr;
    });
}

lf_status lf_set_grad(lf_tensor_t tensor, lf_tensor_t grad) {
    return guarded([&] { tensor->value.mutable_grad() = grad ? grad->value : at::Tensor(); });
}

static void run_backward(const variable_list &roots, const variable_list &grads) {
    torch::autograd::edge_list edges;
    variable_list given;
    for (size_t i = 0; i < roots.size(); ++i) {
        if (!roots[i].requires_grad() || !grads[i].defined()) continue;
        edges.push_back(torch::autograd::impl::gradient_edge(roots[i]));
        given.push_back(grads[i]);
    }
    TORCH_CHECK(!edges.empty(), "backward needs a tensor that depends on a trainable one");
    torch::autograd::Engine::get_default_engine().execute(edges, given, /*keep_graph=*/false, /*create_graph=*/false, /*accumulate_grad=*/true);
}

lf_status lf_backward(lf_tensor_t scalar) {
    return guarded([&] {
        TORCH_CHECK(scalar->value.numel() == 1, "backward without a gradient needs a scalar");
        run_backward({scalar->value}, {at::ones_like(scalar->value)});
    });
}

lf_status lf_backward_with(lf_tensor_t tensor, lf_tensor_t grad) {
    return guarded([&] { run_backward({tensor->value}, {grad->value}); });
}

namespace {

/// What a recomputed region needs: the callback and its context, released with the graph.
struct Region : torch::CustomClassHolder {
    lf_checkpoint_body body;
    lf_status (*after)(void *);
    void *context;
    void (*release)(void *);
    Region(lf_checkpoint_body body, lf_status (*after)(void *), void *context, void (*release)(void *))
        : body(body), after(after), context(context), release(release) {}
    ~Region() override { release(context); }

    variable_list run(const at::Tensor &input) {
        lf_tensor argument{input};
        lf_tensor_t results[LF_REGION_OUTPUTS] = {};
        lf_status status = body(context, &argument, results);
        variable_list values;
        for (lf_tensor_t result : results) {
            if (!result) continue;
            values.push_back(result->value);
            delete result;
        }
        require(status);
        return values;
    }

    void finish() {
        if (after) require(after(context));
    }

    static void require(lf_status status) {
        TORCH_CHECK_WITH(OutOfMemoryError, status != LF_OUT_OF_MEMORY, lf_last_error());
        if (status != LF_OK) throw std::runtime_error(lf_last_error());
    }
};

struct Recomputed : Function<Recomputed> {
    static variable_list forward(AutogradContext *context, const at::Tensor &input, c10::intrusive_ptr<Region> region) {
        context->save_for_backward({input});
        context->saved_data["region"] = c10::IValue::make_capsule(region);
        WithoutGrad scope;
        return region->run(input);
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        auto region = c10::static_intrusive_pointer_cast<Region>(context->saved_data["region"].toCapsule());
        c10::AutoGradMode with_grad(true);
        auto input = saved[0].detach();
        input.set_requires_grad(true);
        run_backward(region->run(input), grads);
        region->finish();
        return {input.grad(), at::Tensor()};
    }
};

}  // namespace

lf_status lf_checkpoint(
    lf_tensor_t input, lf_checkpoint_body body, lf_status (*after)(void *), void *context, void (*release)(void *),
    lf_tensor_t *outs) {
    return guarded([&] {
        auto region = c10::make_intrusive<Region>(body, after, context, release);
        // The graph must reach this node even when only the region's own parameters are trained.
        at::Tensor source = input->value;
        if (!source.requires_grad() && c10::GradMode::is_enabled()) source = source.detach().set_requires_grad(true);
        auto results = Recomputed::apply(source, region);
        for (size_t i = 0; i < LF_REGION_OUTPUTS; ++i) outs[i] = i < results.size() ? adopt(results[i]) : nullptr;
    });
}
