// Exchanges of tensors that lie on an accelerator (`DeviceGroup.cpp`).
#pragma once
#include "Store.hpp"

#include <c10/core/Event.h>

namespace lf {

/// The processes of a run as their accelerators see one another: NCCL, or what a test has put in its place.
///
/// Each exchange is a kernel on the current stream of the tensor's device, behind those that made the tensor and before those that read it.
struct DeviceGroup {
    /// Connects this process's device with those of the others, which all come here.
    ///
    /// - Throws: Where NCCL cannot be opened, a process is gone, or they do not meet in time.
    DeviceGroup(const c10::intrusive_ptr<c10d::Store> &store, const lf_process_place &place, c10::Device device, Watch &watch);
    ~DeviceGroup();
    DeviceGroup(const DeviceGroup &) = delete;

    /// Begin what `Processes.cpp` does with flat, contiguous tensors of the device.
    void sum(const at::Tensor &flat);
    void reduce(const at::Tensor &flat, int root);
    void broadcast(const at::Tensor &flat, int root);
    /// `all [size * n]` from `part [n]`.
    void gather(const at::Tensor &all, const at::Tensor &part);

    /// A mark behind everything that was begun.
    c10::Event mark() const;
    /// Waits for a mark as long as all who take part are there; NCCL's kernels would wait for ever for one who is not.
    void attend(const c10::Event &mark, Watch &watch);
    /// Ends what is on its way, whatever the others do.
    void abort();

private:
    void require(int result, const char *what) const;
    void *stream() const;

    const c10::Device device;
    const lf_collectives calls;
    void *group = nullptr;
};

}  // namespace lf
