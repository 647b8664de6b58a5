// NCCL without its headers: the library is opened when a run has several GPUs, so that one binary serves machines with and without.
#include "DeviceGroup.hpp"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

namespace lf {
namespace {

/// `ncclDataType_t`, which is part of NCCL's binary interface.
int nccl_type(const at::Tensor &tensor) {
    switch (tensor.scalar_type()) {
        case at::kChar: return 0;
        case at::kByte:
        case at::kBool: return 1;
        case at::kInt: return 2;
        case at::kLong: return 4;
        case at::kHalf: return 6;
        case at::kFloat: return 7;
        case at::kDouble: return 8;
        case at::kBFloat16: return 9;
        default: TORCH_CHECK(false, "NCCL does not carry ", tensor.scalar_type());
    }
}

/// `ncclSum`.
constexpr int nccl_sum = 0;
/// `ncclInProgress`: a group that is being ended says so for a while.
constexpr int nccl_in_progress = 7;

std::optional<lf_collectives> substitute;

lf_collectives opened_nccl() {
    // libtorch's CUDA library has it loaded by its own run path.
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    TORCH_CHECK(library, "NCCL (libnccl.so.2) cannot be opened: ", dlerror());
    lf_collectives calls{};
    auto find = [&](auto &call, const char *name) {
        call = reinterpret_cast<std::decay_t<decltype(call)>>(dlsym(library, name));
        TORCH_CHECK(call, "NCCL (libnccl.so.2) has no function ", name);
    };
    find(calls.error_text, "ncclGetErrorString");
    find(calls.new_id, "ncclGetUniqueId");
    find(calls.join, "ncclCommInitRank");
    find(calls.abort, "ncclCommAbort");
    find(calls.leave, "ncclCommDestroy");
    find(calls.state, "ncclCommGetAsyncError");
    find(calls.sum, "ncclAllReduce");
    find(calls.reduce, "ncclReduce");
    find(calls.broadcast, "ncclBroadcast");
    find(calls.gather, "ncclAllGather");
    return calls;
}

lf_collectives collectives(c10::Device device) {
    if (device.is_cuda()) return opened_nccl();
    TORCH_CHECK(substitute, "no exchanges are known for tensors on ", device);
    return *substitute;
}

/// How long whoever waits looks at nothing else.
constexpr auto slice = std::chrono::milliseconds(500);

}  // namespace

DeviceGroup::DeviceGroup(
    const c10::intrusive_ptr<c10d::Store> &store, const lf_process_place &place, c10::Device device, Watch &watch)
    : device(device), calls(collectives(device)) {
    lf_collective_id id{};
    if (place.rank == 0) {
        require(calls.new_id(&id), "name the group");
        store->set("device group", std::vector<uint8_t>(id.bytes, id.bytes + sizeof id.bytes));
    }
    auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(place.rendezvous_seconds));
    auto go_on = [&] {
        watch.require_others();
        TORCH_CHECK(
            Clock::now() < end, "the processes' devices did not connect to one another within ", int(place.rendezvous_seconds), " s");
    };
    while (place.rank != 0 && !store->check({"device group"})) {
        go_on();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (place.rank != 0) {
        auto bytes = store->get("device group");
        TORCH_CHECK(bytes.size() == sizeof id.bytes, "the group's name has ", bytes.size(), " bytes");
        std::memcpy(id.bytes, bytes.data(), bytes.size());
    }
    // Joining waits for all without end: it gets a thread of its own, which is left behind where they do not come.
    std::packaged_task<std::pair<int, void *>()> task([device, join = calls.join, id, size = place.size, rank = place.rank] {
        c10::DeviceGuard scope(device);
        void *group = nullptr;
        int result = join(&group, size, id, rank);
        return std::pair(result, group);
    });
    auto joined = task.get_future();
    std::thread(std::move(task)).detach();
    while (joined.wait_for(slice) != std::future_status::ready) go_on();
    auto [result, value] = joined.get();
    require(result, "connect the devices");
    group = value;
}

DeviceGroup::~DeviceGroup() {
    if (group) calls.leave(group);
}

void DeviceGroup::require(int result, const char *what) const {
    TORCH_CHECK(result == 0, "NCCL could not ", what, ": ", calls.error_text(result));
}

void *DeviceGroup::stream() const {
    TORCH_CHECK(group, "the devices' group has ended");
    c10::impl::VirtualGuardImpl guard(device.type());
    return guard.getStreamNativeHandle(guard.getStream(device));
}

void DeviceGroup::sum(const at::Tensor &flat) {
    auto count = size_t(flat.numel());
    require(calls.sum(flat.data_ptr(), flat.data_ptr(), count, nccl_type(flat), nccl_sum, group, stream()), "add up tensors");
}

void DeviceGroup::reduce(const at::Tensor &flat, int root) {
    auto count = size_t(flat.numel());
    require(calls.reduce(flat.data_ptr(), flat.data_ptr(), count, nccl_type(flat), nccl_sum, root, group, stream()), "add up tensors");
}

void DeviceGroup::broadcast(const at::Tensor &flat, int root) {
    auto count = size_t(flat.numel());
    require(calls.broadcast(flat.data_ptr(), flat.data_ptr(), count, nccl_type(flat), root, group, stream()), "send tensors");
}

void DeviceGroup::gather(const at::Tensor &all, const at::Tensor &part) {
    require(calls.gather(part.data_ptr(), all.data_ptr(), size_t(part.numel()), nccl_type(part), group, stream()), "gather tensors");
}

c10::Event DeviceGroup::mark() const {
    c10::impl::VirtualGuardImpl guard(device.type());
    c10::Event mark(device.type());
    mark.record(guard.getStream(device));
    return mark;
}

void DeviceGroup::attend(const c10::Event &mark, Watch &watch) {
    auto next = Clock::now() + slice;
    for (int tries = 0; !mark.query(); ++tries) {
        if (tries > 1000) std::this_thread::sleep_for(std::chrono::microseconds(50));
        if (Clock::now() < next) continue;
        next = Clock::now() + slice;
        watch.require_others();
        int state = 0;
        require(calls.state(group, &state), "look at the group");
        TORCH_CHECK(state == 0 || state == nccl_in_progress, "NCCL has lost a process: ", calls.error_text(state));
    }
}

void DeviceGroup::abort() {
    if (auto ended = std::exchange(group, nullptr)) calls.abort(ended);
}

}  // namespace lf

using namespace lf;

void lf_collectives_for_tests(const lf_collectives *calls) { substitute = *calls; }
