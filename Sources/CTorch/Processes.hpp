// The processes that train together, and how one waits for the others (`Processes.cpp`, `GradientBuckets.cpp`).
#pragma once
#define USE_C10D_GLOO 1
#include "DeviceGroup.hpp"

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

struct lf_process_group {
    /// Of the CPU's tensors.
    c10::intrusive_ptr<c10d::ProcessGroup> value;
    c10::intrusive_ptr<c10d::ProcessGroupGloo> connections;
    /// Where the process computes on a device.
    std::unique_ptr<lf::DeviceGroup> devices;
    std::shared_ptr<lf::Watch> watch;
    /// Whether an exchange has begun and not come to its end.
    bool is_unfinished = false;
    /// Messages that are on their way beside the exchanges.
    int in_flight = 0;

    ~lf_process_group() {
        if (!is_unfinished && in_flight == 0) return;
        sever();
        // Gloo's destructor would wait for messages that may never arrive; its threads go with the process.
        value.release();
        connections.release();
    }

    /// Closes the connections, so that the others' exchanges end.
    void sever() {
        is_unfinished = true;
        struct Gloo : c10d::ProcessGroupGloo {
            static auto contexts() { return &Gloo::contexts_; }
        };
        for (auto &context : (*connections).*Gloo::contexts()) context->closeConnections();
        if (devices) devices->abort();
    }
};

namespace lf {

/// How long whoever waits for an exchange looks at nothing else.
constexpr auto slice = std::chrono::milliseconds(500);

/// Messages are about this large: small gradients travel together, large ones in pieces that are in flight at once.
constexpr int64_t bucket_bytes = 25 << 20;

/// Waits for an exchange of the CPU's, as long as all who take part are there.
inline void attend_gloo(const c10::intrusive_ptr<c10d::Work> &work, Watch &watch) {
    auto end = std::make_shared<std::promise<void>>();
    auto has_ended = end->get_future();
    work->getFuture()->addCallback([end](c10::ivalue::Future &) { end->set_value(); });
    while (has_ended.wait_for(slice) != std::future_status::ready) watch.require_others();
    work->wait();
}

/// An exchange that has begun: Gloo's work, or a mark behind what the device does.
struct Begun {
    c10::intrusive_ptr<c10d::Work> work;
    std::optional<c10::Event> mark;

    void attend(lf_process_group &group) const {
        if (mark) return group.devices->attend(*mark, *group.watch);
        attend_gloo(work, *group.watch);
    }
};

/// Begins an exchange where a tensor lies: `gloo()` with the CPU's processes, `device(group)` with the devices.
template <typename Gloo, typename Device>
Begun begin(lf_process_group &group, const at::Tensor &tensor, Gloo gloo, Device device) {
    if (tensor.is_cpu()) return {gloo(), {}};
    TORCH_CHECK(group.devices, "this process has said that it computes on the CPU, and exchanges a tensor on ", tensor.device());
    device(*group.devices);
    return {{}, group.devices->mark()};
}

/// Begins to sum a flat tensor over all processes.
inline Begun begin_sum(lf_process_group &group, std::vector<at::Tensor> &flat) {
    return begin(
        group, flat[0], [&] { return group.value->allreduce(flat); }, [&](DeviceGroup &devices) { devices.sum(flat[0]); });
}

/// Runs an exchange, and remembers one that has not come to its end.
template <typename Body> lf_status exchanging(lf_process_group_t group, Body &&body) noexcept {
    return guarded([&] {
        WithoutGrad scope;
        TORCH_CHECK(!group->is_unfinished, "an earlier exchange has failed");
        group->is_unfinished = true;
        body();
        group->is_unfinished = false;
    });
}

}  // namespace lf
