// The stand-in's operations: each runs as the CPU's, on the bytes where they really lie.
#include "StandIn.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <set>
#include <torch/library.h>

namespace stand_in {
namespace {

constexpr c10::DispatchKeySet keys(dispatch_key);

at::Tensor make_empty(c10::IntArrayRef sizes, at::ScalarType type, std::optional<at::MemoryFormat> format = std::nullopt) {
    return at::detail::empty_generic(sizes, &memory(), keys, type, format);
}

/// A CPU's tensor on the same bytes.
at::Tensor on_host(const at::Tensor &tensor) {
    if (!is_here(tensor)) return tensor;
    auto storage = tensor.storage();
    c10::DataPtr bytes(host_address(storage.mutable_data()), c10::Device(c10::kCPU));
    c10::Storage host(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(bytes), nullptr, /*resizable=*/false);
    auto result = at::detail::make_tensor<c10::TensorImpl>(std::move(host), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
    result.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
    return result;
}

/// What an operation has computed on the host, as the device's own; not a transfer.
at::Tensor adopted(const at::Tensor &tensor) {
    if (!tensor.defined() || !tensor.is_cpu()) return tensor;
    at::Tensor result;
    if (tensor.is_non_overlapping_and_dense())
        result = at::detail::empty_strided_generic(tensor.sizes(), tensor.strides(), &memory(), keys, tensor.scalar_type());
    else result = make_empty(tensor.sizes(), tensor.scalar_type());
    if (tensor.numel() > 0) on_host(result).copy_(tensor);
    return result;
}

at::Tensor empty(c10::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<at::Device> place,
                 std::optional<bool>, std::optional<at::MemoryFormat> format) {
    c10::OptionalDeviceGuard scope(place);
    return make_empty(sizes, c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device> place, std::optional<bool>) {
    c10::OptionalDeviceGuard scope(place);
    return at::detail::empty_strided_generic(sizes, strides, &memory(), keys, c10::dtype_or_default(type));
}

const at::Tensor &resize_(const at::Tensor &self, c10::IntArrayRef sizes, std::optional<at::MemoryFormat>) {
    size_t needed = (c10::multiply_integers(sizes) + self.storage_offset()) * self.element_size();
    if (needed > self.storage().nbytes()) {
        TORCH_CHECK(self.storage().nbytes() == 0, "the stand-in gives no tensor with contents another size");
        self.storage().set_data_ptr(memory().allocate(needed));
        self.storage().set_nbytes(needed);
    }
    self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
    return self;
}

at::Tensor &copy_(at::Tensor &self, const at::Tensor &source, bool non_blocking) {
    at::AutoDispatchBelowADInplaceOrView below;
    if (self.numel() == 0) return self;
    if (is_here(self) && is_here(source)) {
        count_launch("copy_");
    } else if (is_here(self)) {
        count_copy_to_device(static_cast<int64_t>(source.nbytes()));
        if (!non_blocking) count_wait("a blocking copy to the device");
    } else {
        count_copy_to_host(static_cast<int64_t>(source.nbytes()));
        count_wait("a copy to the host");
    }
    auto target = on_host(self);
    target.copy_(on_host(source).expand_as(target));
    return self;
}

at::Scalar local_scalar(const at::Tensor &self) {
    at::AutoDispatchBelowADInplaceOrView below;
    count_copy_to_host(static_cast<int64_t>(self.element_size()));
    count_wait("a single value");
    return on_host(self).item();
}

/// Operations whose result has a size that depends on data, or that answer yes or no.
const std::set<std::string> waiting = {"aten::equal", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim",
                                       "aten::unique_consecutive", "aten::bincount", "aten::is_set_to"};
/// Operations that add to one place from several, by atomic additions.
const std::set<std::string> unordered = {"aten::index_add", "aten::index_add_", "aten::scatter_add", "aten::scatter_add_", "aten::scatter_reduce",
                                         "aten::put_", "aten::histc", "aten::cumsum_backward", "aten::_embedding_bag_dense_backward"};

/// One call of an operation, its arguments on the host while it runs.
class HostCall {
  public:
    HostCall(const c10::OperatorHandle &operation, torch::jit::Stack *stack) : operation(operation), schema(operation.schema()), stack(*stack) {
        name = schema.operator_name().name;
        first = stack->size() - schema.arguments().size();
        originals.assign(stack->begin() + first, stack->end());
    }

    void run() {
        for (size_t i = 0; i < originals.size(); ++i) take(i);
        TORCH_CHECK(!(reads_device && reads_host), "Expected all tensors to be on the same device, but found ", *place, " and cpu! (", name, ")");
        count();
        // As a GPU's kernels, these run where their tensors lie.
        c10::OptionalDeviceGuard scope(place);
        at::AutoDispatchBelowADInplaceOrView below;
        operation.callBoxed(&stack);
        for (auto &[target, computed] : fresh_outputs) {
            if (target.sizes() != computed.sizes()) resize_(target, computed.sizes(), std::nullopt);
            if (target.numel() > 0) on_host(target).copy_(computed);
        }
        size_t outputs = stack.size() - schema.returns().size();
        for (size_t i = 0; i < schema.returns().size(); ++i) hand_out(schema.returns()[i].alias_info(), stack[outputs + i]);
    }

  private:
    const c10::OperatorHandle &operation;
    const c10::FunctionSchema &schema;
    torch::jit::Stack &stack;
    std::string name;
    size_t first;
    std::vector<c10::IValue> originals;
    std::vector<std::pair<at::Tensor, at::Tensor>> fresh_outputs;
    /// Where the device's tensors lie.
    std::optional<c10::Device> place;
    bool reads_device = false, reads_host = false, selects_by_mask = false;

    at::Tensor taken(const at::Tensor &tensor) {
        if (is_here(tensor)) {
            reads_device = true;
            if (!place) place = tensor.device();
            TORCH_CHECK(*place == tensor.device(), "Expected all tensors to be on the same device, but found ", *place, " and ", tensor.device(), "! (", name, ")");
        } else if (tensor.defined() && tensor.dim() > 0) reads_host = true;  // single values may lie on the host
        return on_host(tensor);
    }

    void take(size_t i) {
        auto &value = stack[first + i];
        const auto &argument = schema.arguments()[i];
        bool is_output = argument.kwarg_only() && argument.alias_info() && argument.alias_info()->isWrite();
        if (is_output && value.isTensor() && value.toTensor().numel() == 0) {
            auto target = value.toTensor();
            taken(target);
            fresh_outputs.push_back({target, at::empty({0}, at::TensorOptions().dtype(target.scalar_type()))});
            value = fresh_outputs.back().second;
        } else if (value.isTensor()) {
            value = taken(value.toTensor());
        } else if (value.isTensorList()) {
            std::vector<at::Tensor> list;
            for (const at::Tensor &tensor : value.toTensorVector()) list.push_back(taken(tensor));
            value = c10::IValue(std::move(list));
        } else if (value.isOptionalTensorList()) {
            c10::List<std::optional<at::Tensor>> list;
            for (const std::optional<at::Tensor> &tensor : value.toOptionalTensorVector()) {
                selects_by_mask = selects_by_mask || (tensor && tensor->defined() && tensor->scalar_type() == at::kBool);
                list.push_back(tensor ? std::optional(taken(*tensor)) : std::nullopt);
            }
            value = c10::IValue(std::move(list));
        } else if (value.isDevice()) {
            if (!place && value.toDevice().type() == device_type) place = value.toDevice();
            value = c10::IValue(c10::Device(c10::kCPU));
        } else if (argument.name() == "generator") {
            TORCH_CHECK(value.isGenerator(), name, " draws from no generator that a run could restore");
            value = host_generator(value.toGenerator());
        }
    }

    void count() {
        count_launch(schema.overload_name().empty() ? name : name + "." + schema.overload_name());
        if (waiting.count(name) > 0 || selects_by_mask) count_wait(name);
        // A GPU sorts what `index_put_` accumulates, and what these add where it is asked to.
        if (unordered.count(name) > 0 && !at::globalContext().deterministicAlgorithms()) count_unordered(name);
    }

    void hand_out(const c10::AliasInfo *alias, c10::IValue &value) {
        if (alias && alias->isWrite()) {
            for (size_t i = 0; i < originals.size(); ++i) {
                const auto *own = schema.arguments()[i].alias_info();
                if (own && own->isWrite() && own->beforeSets() == alias->beforeSets()) value = originals[i];
            }
            return;
        }
        TORCH_CHECK(!alias, "the stand-in has no kernel for the view ", name);
        if (value.isTensor()) {
            value = adopted(value.toTensor());
        } else if (value.isTensorList()) {
            std::vector<at::Tensor> list;
            for (const at::Tensor &tensor : value.toTensorVector()) list.push_back(adopted(tensor));
            value = c10::IValue(std::move(list));
        }
    }
};

void run_on_host(const c10::OperatorHandle &operation, c10::DispatchKeySet, torch::jit::Stack *stack) { HostCall(operation, stack).run(); }

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
    library.impl("empty.memory_format", empty);
    library.impl("empty_strided", empty_strided);
    library.impl("resize_", resize_);
    library.impl("copy_", copy_);
    library.impl("_local_scalar_dense", local_scalar);
    library.impl("as_strided", at::native::as_strided_tensorimpl);
    library.impl("view", at::native::view);
    library.impl("_reshape_alias", at::native::_reshape_alias);
    library.impl("unfold", at::native::unfold);
    // One kernel each on a GPU; for devices that libtorch does not know it would take the lists apart.
    for (const char *name : {"_foreach_norm.Scalar", "_foreach_mul_.Tensor", "_foreach_mul_.Scalar", "_foreach_add_.Scalar"})
        library.impl(name, torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

}  // namespace
}  // namespace stand_in
