// Gradients that leave for the other processes while the backward pass still makes others.
#include "Processes.hpp"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace lf {
namespace {

/// The buckets of some weights: each is a flat message that leaves as soon as all of its gradients, and all of the buckets before it, are
/// there. So all processes send the same messages in the same order, whatever gradients they have.
///
/// A gradient that is taken into its bucket is gone from its weight, so that it is held once; when the sums have come, the weights'
/// gradients are parts of the buckets.
struct Buckets {
    struct Weight {
        at::Tensor value;
        size_t bucket = 0;
        int64_t start = 0;
        /// Whether the last pass has made its gradient, and whether there is any.
        bool has_arrived = false, has_gradient = false;
        /// What was made when its bucket had left.
        at::Tensor late;
    };
    struct Bucket {
        at::ScalarType type;
        int64_t count = 0;
        std::vector<size_t> weights;
        size_t missing = 0;
        std::vector<at::Tensor> flat;
        /// Where it has left.
        std::optional<Begun> begun;
    };

    std::vector<Weight> weights;
    std::vector<Bucket> buckets;
    /// Where messages go while a pass may send some.
    lf_process_group_t group = nullptr;
    bool is_open = false;
    size_t next = 0;
    /// How many left before the end of the last pass.
    size_t early = 0;
    /// What went wrong within a pass.
    std::string failure;

    Buckets(std::vector<at::Tensor> values, int64_t bytes) {
        for (auto &value : values) {
            int64_t size = value.nbytes();
            bool fits = !buckets.empty() && buckets.back().type == value.scalar_type() &&
                buckets.back().count * int64_t(value.element_size()) + size <= bytes;
            if (!fits) buckets.push_back({value.scalar_type()});
            auto &bucket = buckets.back();
            Weight weight;
            weight.bucket = buckets.size() - 1;
            weight.start = bucket.count;
            bucket.weights.push_back(weights.size());
            bucket.count += value.numel();
            weight.value = std::move(value);
            weights.push_back(std::move(weight));
        }
    }

    void open(lf_process_group_t to) {
        TORCH_CHECK(!is_open && next == 0, "the gradients of an earlier pass are on their way");
        group = to;
        is_open = true;
        early = 0;
        failure.clear();
        for (auto &bucket : buckets) bucket.missing = bucket.weights.size();
        for (auto &weight : weights) {
            weight.has_arrived = weight.has_gradient = false;
            weight.late = at::Tensor();
        }
    }

    at::Tensor part(const Weight &weight) const {
        return buckets[weight.bucket].flat[0].narrow(0, weight.start, weight.value.numel()).view(weight.value.sizes());
    }

    /// Takes the gradient that a weight has now into its bucket.
    void take(Weight &weight) {
        auto &bucket = buckets[weight.bucket];
        if (bucket.flat.empty()) bucket.flat = {at::empty({bucket.count}, weight.value.options().requires_grad(false))};
        auto &gradient = weight.value.mutable_grad();
        if (gradient.defined()) {
            if (weight.has_gradient) {
                part(weight).add_(gradient);
            } else {
                part(weight).copy_(gradient);
            }
            weight.has_gradient = true;
            gradient = at::Tensor();
        } else if (!weight.has_gradient) {
            part(weight).zero_();
        }
    }

    /// The pass has made a weight's gradient; a weight of several regions that are computed again gets several.
    void arrive(size_t index) {
        auto &weight = weights[index];
        auto &bucket = buckets[weight.bucket];
        // What comes too late stays where it is until the pass has ended.
        if (!is_open || !failure.empty() || bucket.begun) return;
        try {
            WithoutGrad scope;
            take(weight);
            if (weight.has_arrived) return;
            weight.has_arrived = true;
            --bucket.missing;
            while (next < buckets.size() && buckets[next].missing == 0) {
                send(buckets[next++]);
                ++early;
            }
        } catch (const std::exception &error) { failure = error.what(); }
    }

    void send(Bucket &bucket) {
        ++group->in_flight;
        bucket.begun = begin_sum(*group, bucket.flat);
    }

    /// The pass has ended: sends what is left.
    void close() {
        TORCH_CHECK(failure.empty(), failure);
        for (; next < buckets.size(); ++next) {
            auto &bucket = buckets[next];
            for (auto index : bucket.weights)
                if (!weights[index].has_arrived) take(weights[index]);
            send(bucket);
        }
        is_open = false;
        for (auto &weight : weights) weight.late = std::exchange(weight.value.mutable_grad(), at::Tensor());
    }

    /// Waits for the sums and makes them the gradients of the weights that some process had one for.
    void settle(const bool *learned) {
        for (auto &bucket : buckets) {
            bucket.begun->attend(*group);
            --group->in_flight;
            bucket.begun.reset();
        }
        for (size_t index = 0; index < weights.size(); ++index)
            if (learned[index]) weights[index].value.mutable_grad() = part(weights[index]);
        for (auto &bucket : buckets) bucket.flat.clear();
        next = 0;
    }

    /// Adds what was late in some process.
    void add_late(const bool *late) {
        for (size_t index = 0; index < weights.size(); ++index) {
            if (!late[index]) continue;
            auto &weight = weights[index];
            std::vector<at::Tensor> sum{
                weight.late.defined() ? weight.late.contiguous() : at::zeros_like(weight.value, at::MemoryFormat::Contiguous)};
            begin_sum(*group, sum).attend(*group);
            weight.value.mutable_grad().add_(sum[0]);
            weight.late = at::Tensor();
        }
    }
};

/// Tells the buckets that a weight's gradient is there.
struct Arrival : torch::autograd::PostAccumulateGradHook {
    Arrival(const std::shared_ptr<Buckets> &buckets, size_t index) : buckets(buckets), index(index) {}
    void operator()(const at::Tensor &) override {
        if (auto present = buckets.lock()) present->arrive(index);
    }
    std::weak_ptr<Buckets> buckets;
    size_t index;
};

}  // namespace
}  // namespace lf

using namespace lf;

struct lf_gradient_buckets {
    std::shared_ptr<Buckets> value;
};

lf_status lf_gradient_buckets_make(
    const lf_tensor_t *weights, size_t count, int64_t bytes, lf_gradient_buckets_t *out) {
    return guarded([&] {
        auto buckets = std::make_shared<Buckets>(list(weights, count), bytes > 0 ? bytes : bucket_bytes);
        for (size_t index = 0; index < count; ++index)
            torch::autograd::impl::set_post_acc_grad_hooks(
                buckets->weights[index].value, std::make_unique<Arrival>(buckets, index));
        *out = new lf_gradient_buckets{std::move(buckets)};
    });
}

void lf_gradient_buckets_free(lf_gradient_buckets_t buckets) { delete buckets; }

lf_status lf_gradient_buckets_open(lf_gradient_buckets_t buckets, lf_process_group_t group) {
    return guarded([&] { buckets->value->open(group); });
}

lf_status lf_gradient_buckets_close(
    lf_gradient_buckets_t buckets, lf_process_group_t group, bool *has_gradient, bool *is_late, size_t *early) {
    return guarded([&] {
        WithoutGrad scope;
        auto &value = *buckets->value;
        if (!value.is_open) value.open(group);
        value.close();
        for (size_t index = 0; index < value.weights.size(); ++index) {
            const auto &weight = value.weights[index];
            is_late[index] = weight.late.defined();
            has_gradient[index] = weight.has_gradient || is_late[index];
        }
        *early = value.early;
    });
}

lf_status lf_gradient_buckets_settle(
    lf_gradient_buckets_t buckets, lf_process_group_t group, const bool *learned, const bool *late) {
    return exchanging(group, [&] {
        buckets->value->settle(learned);
        buckets->value->add_late(late);
    });
}
