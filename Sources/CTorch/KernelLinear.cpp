// Linear layers of one input off the CPU. Whole weights are libtorch's products; what adapters of low rank add, conversions and the gradients of biases
// are one launch each for all layers.
#include "KernelLayers.hpp"

#include "Kernels/Machine.hpp"
#include "Kernels/Products.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {

using kernels::launch;
using namespace lf_machine;

namespace {

int type_code(const at::Tensor &x) {
    switch (x.scalar_type()) {
        case at::kFloat: return 0;
        case at::kDouble: return 1;
        case at::kBFloat16: return 2;
        default: return 3;
    }
}

Matrix matrix(const at::Tensor &x) { return {x.mutable_data_ptr(), x.stride(0), x.stride(1), type_code(x)}; }
/// The same turned.
Matrix across(const at::Tensor &x) { return {x.mutable_data_ptr(), x.stride(1), x.stride(0), type_code(x)}; }

/// Products that one launch computes.
class Products {
    ShortProducts all{};
    int terms = 0;
    const at::Tensor &like;
    int64_t tile_columns, blocks = 0;

  public:
    /// \param columns How wide a tile is: 16 where the products have few columns, else 64.
    Products(const at::Tensor &like, int64_t columns) : like(like), tile_columns(columns) {}

    void begin(Matrix result, int64_t rows, int64_t columns, double factor, bool adds) {
        all.products[all.count++] = {result, rows, columns, factor, adds, terms, 0};
        blocks += (rows + 63) / 64 * ((columns + tile_columns - 1) / tile_columns);
    }
    void term(Matrix a, Matrix b, int64_t depth) {
        all.terms[terms++] = {a, b, depth};
        ++all.products[all.count - 1].terms;
    }
    void run() {
        if (blocks == 0) return;
        auto real = like.scalar_type() == at::kDouble ? "double" : "float";
        launch(c10::str("short_products<", real, ", 64, ", tile_columns, ">"), like, blocks, all);
    }
};

/// Conversions that one launch makes.
class Casts {
    Conversions all{};
    int64_t blocks = 0;
    const at::Tensor *like = nullptr;
    std::vector<at::Tensor> kept;

  public:
    /// The numbers in a type: the tensor itself where it has that, else what `run` will have filled.
    at::Tensor in(at::ScalarType type, const at::Tensor &x) {
        if (x.scalar_type() == type) return x;
        kept.push_back(x.contiguous());
        auto result = at::empty(x.sizes(), x.options().dtype(type));
        all.items[all.count++] = {kept.back().const_data_ptr(), result.mutable_data_ptr(), result.numel(), type_code(x), type_code(result)};
        blocks += (result.numel() + Conversions::per_block - 1) / Conversions::per_block;
        return result;
    }
    void run() {
        if (all.count > 0) launch("convert_all", kept[0], blocks, all);
    }
};

/// The gradients of biases that one launch sums.
class Sums {
    ColumnSums all{};
    int64_t blocks = 0;
    const at::Tensor &like;

  public:
    explicit Sums(const at::Tensor &like) : like(like) {}
    void add(const at::Tensor &from, const at::Tensor &to) {
        all.items[all.count++] = {matrix(from), to.mutable_data_ptr(), from.size(0), from.size(1), type_code(to)};
        blocks += (from.size(1) + ColumnSums::per_block - 1) / ColumnSums::per_block;
    }
    void run() {
        if (all.count == 0) return;
        launch(like.scalar_type() == at::kDouble ? "sum_columns<double>" : "sum_columns<float>", like, blocks, all);
    }
};

/// Where a layer's tensors stand among all; -1 for what it lacks. `column`: of its adapter among all adapters'.
struct Place {
    int64_t w, bias, a, b, column, rank;
    double scale;
};

struct Places : torch::CustomClassHolder {
    std::vector<Place> layers;
    int64_t ranks = 0;
};

struct KernelLinears : Function<KernelLinears> {
    static variable_list forward(AutogradContext *context, const at::Tensor &x, const at::TensorList &tensors, c10::intrusive_ptr<Places> places) {
        context->set_materialize_grads(false);
        auto input = x.contiguous();
        int64_t rows = input.size(0), width = input.size(1);
        at::Tensor down;
        if (places->ranks > 0) {
            down = at::empty({rows, places->ranks}, input.options().dtype(input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
            Products downs(input, 16);
            for (const auto &layer : places->layers) {
                if (layer.rank == 0) continue;
                downs.begin(matrix(down.narrow(1, layer.column, layer.rank)), rows, layer.rank, layer.scale, false);
                downs.term(matrix(input), across(tensors[layer.a]), width);
            }
            downs.run();
        }
        variable_list outputs = whole_products(input, tensors, *places);
        if (places->ranks > 0) {
            Products updates(input, 64);
            for (size_t i = 0; i < outputs.size(); ++i) {
                const auto &layer = places->layers[i];
                if (layer.rank == 0) continue;
                updates.begin(matrix(outputs[i]), rows, outputs[i].size(1), 1, true);
                updates.term(matrix(down.narrow(1, layer.column, layer.rank)), across(tensors[layer.b]), layer.rank);
            }
            updates.run();
        }
        save(context, input, down, tensors, places);
        return outputs;
    }

    static variable_list whole_products(const at::Tensor &x, const at::TensorList &tensors, const Places &places) {
        Casts casts;
        std::vector<std::pair<at::Tensor, at::Tensor>> operands;
        for (const auto &layer : places.layers) {
            auto w = casts.in(x.scalar_type(), tensors[layer.w]);
            operands.push_back({w, layer.bias >= 0 ? casts.in(x.scalar_type(), tensors[layer.bias]) : at::Tensor()});
        }
        casts.run();
        variable_list outputs;
        for (const auto &[w, bias] : operands) outputs.push_back(bias.defined() ? at::addmm(bias, x, w.t()) : at::mm(x, w.t()));
        return outputs;
    }

    static void save(AutogradContext *context, const at::Tensor &x, const at::Tensor &down, const at::TensorList &tensors,
                     c10::intrusive_ptr<Places> places) {
        bool keeps_input = false;
        for (const auto &layer : places->layers)
            keeps_input = keeps_input || tensors[layer.w].requires_grad() || (layer.rank > 0 && tensors[layer.a].requires_grad());
        variable_list saved = {keeps_input ? x : at::Tensor(), down};
        saved.insert(saved.end(), tensors.begin(), tensors.end());
        context->save_for_backward(saved);
        context->saved_data["places"] = c10::IValue::make_capsule(places);
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto all = context->get_saved_variables();
        auto places = c10::static_intrusive_pointer_cast<Places>(context->saved_data["places"].toCapsule());
        const auto &x = all[0], &down = all[1];
        auto tensors = at::TensorList(all).slice(2);
        variable_list result(1 + tensors.size() + 1);  // of x, of all tensors, of what is not one
        auto *of = &result[1];
        std::vector<size_t> used;
        for (size_t i = 0; i < grads.size(); ++i)
            if (grads[i].defined()) {
                grads[i] = grads[i].contiguous();
                used.push_back(i);
            }
        if (used.empty()) return result;
        const auto &like = grads[used[0]];
        auto ups = up_products(grads, used, *places, tensors, down);
        if (context->needs_input_grad(0)) result[0] = input_gradient(grads, used, *places, tensors, ups);
        if (ups.defined()) adapter_gradients(x, down, ups, grads, used, *places, tensors, of);
        weight_gradients(x, like, grads, used, *places, tensors, of);
        return result;
    }

    /// `scale · dY·B` of all adapters side by side.
    static at::Tensor up_products(const variable_list &grads, const std::vector<size_t> &used, const Places &places, at::TensorList tensors,
                                  const at::Tensor &down) {
        if (!down.defined()) return {};
        auto ups = at::empty_like(down);
        Products products(grads[used[0]], 16);
        for (size_t i : used) {
            const auto &layer = places.layers[i];
            if (layer.rank == 0) continue;
            products.begin(matrix(ups.narrow(1, layer.column, layer.rank)), ups.size(0), layer.rank, layer.scale, false);
            products.term(matrix(grads[i]), matrix(tensors[layer.b]), grads[i].size(1));
        }
        products.run();
        return ups;
    }

    static at::Tensor input_gradient(const variable_list &grads, const std::vector<size_t> &used, const Places &places, at::TensorList tensors,
                                     const at::Tensor &ups) {
        Casts casts;
        std::vector<at::Tensor> weights;
        for (size_t i : used) weights.push_back(casts.in(grads[i].scalar_type(), tensors[places.layers[i].w]));
        casts.run();
        at::Tensor dx;
        for (size_t n = 0; n < used.size(); ++n) {
            const auto &dy = grads[used[n]];
            if (dx.defined()) dx.addmm_(dy, weights[n]);
            else dx = at::mm(dy, weights[n]);
        }
        if (!ups.defined()) return dx;
        Products updates(dx, 64);
        updates.begin(matrix(dx), dx.size(0), dx.size(1), 1, true);
        bool is_adapted = false;
        for (size_t i : used) {
            const auto &layer = places.layers[i];
            if (layer.rank == 0) continue;
            updates.term(matrix(ups.narrow(1, layer.column, layer.rank)), matrix(tensors[layer.a]), layer.rank);
            is_adapted = true;
        }
        if (is_adapted) updates.run();
        return dx;
    }

    static void adapter_gradients(const at::Tensor &x, const at::Tensor &down, const at::Tensor &ups, const variable_list &grads,
                                  const std::vector<size_t> &used, const Places &places, at::TensorList tensors, at::Tensor *of) {
        Products products(ups, 16);
        for (size_t i : used) {
            const auto &layer = places.layers[i];
            if (layer.rank == 0) continue;
            const auto &a = tensors[layer.a], &b = tensors[layer.b];
            if (a.requires_grad()) {
                of[layer.a] = at::empty_like(a);
                products.begin(across(of[layer.a]), a.size(1), layer.rank, 1, false);
                products.term(across(x), matrix(ups.narrow(1, layer.column, layer.rank)), x.size(0));
            }
            if (b.requires_grad()) {
                of[layer.b] = at::empty_like(b);
                products.begin(matrix(of[layer.b]), b.size(0), layer.rank, 1, false);
                products.term(across(grads[i]), matrix(down.narrow(1, layer.column, layer.rank)), grads[i].size(0));
            }
        }
        products.run();
    }

    static void weight_gradients(const at::Tensor &x, const at::Tensor &like, const variable_list &grads, const std::vector<size_t> &used,
                                 const Places &places, at::TensorList tensors, at::Tensor *of) {
        Casts casts;
        Sums sums(like);
        for (size_t i : used) {
            const auto &layer = places.layers[i];
            const auto &w = tensors[layer.w];
            if (w.requires_grad()) of[layer.w] = casts.in(w.scalar_type(), at::mm(grads[i].t(), x));
            if (layer.bias < 0 || !tensors[layer.bias].requires_grad()) continue;
            of[layer.bias] = at::empty_like(tensors[layer.bias]);
            sums.add(grads[i], of[layer.bias]);
        }
        casts.run();
        sums.run();
    }
};

/// Adapters' and biases' operands take a place each in one launch, gradients of adapters two.
constexpr size_t greatest_group = greatest_products / 2;

}  // namespace

bool takes_kernel_linears(const at::Tensor &x, const std::vector<KernelLinear> &layers) {
    if (!kernels::run_on(x) || x.numel() == 0 || kernels::type_name(x.scalar_type()).empty() || layers.size() > greatest_group) return false;
    auto is_known = [](const at::Tensor &tensor) { return !tensor.defined() || !kernels::type_name(tensor.scalar_type()).empty(); };
    for (const auto &layer : layers)
        if (layer.w.numel() == 0 || !is_known(layer.w) || !is_known(layer.bias) || !is_known(layer.a) || !is_known(layer.b)) return false;
    return true;
}

std::vector<at::Tensor> kernel_linears(const at::Tensor &x, const std::vector<KernelLinear> &layers) {
    variable_list tensors;
    auto places = c10::make_intrusive<Places>();
    auto place = [&](const at::Tensor &tensor) -> int64_t {
        if (!tensor.defined()) return -1;
        tensors.push_back(tensor);
        return tensors.size() - 1;
    };
    for (const auto &layer : layers) {
        int64_t rank = layer.a.defined() ? layer.a.size(0) : 0;
        int64_t w = place(layer.w), bias = place(layer.bias), a = place(layer.a), b = place(layer.b);
        places->layers.push_back({w, bias, a, b, places->ranks, rank, layer.scale});
        places->ranks += rank;
    }
    return KernelLinears::apply(x, at::TensorList(tensors), places);
}

}  // namespace lf
