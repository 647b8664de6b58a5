// What the stand-in's files share: its memory and its counts.
#pragma once
#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <string>

#include "CStandIn.h"

namespace stand_in {

constexpr auto device_type = c10::DeviceType::PrivateUse1;
constexpr auto dispatch_key = c10::DispatchKey::PrivateUse1;
/// The device that this thread works on.
c10::Device device();
inline bool is_here(const at::Tensor &tensor) { return tensor.defined() && tensor.device().type() == device_type; }

c10::DeviceAllocator &memory();
/// Where the bytes of one of the device's addresses really lie.
void *host_address(void *address);

void count_launch(const std::string &operation);
void count_wait(const std::string &reason);
void count_unordered(const std::string &operation);
void count_copy_to_device(int64_t bytes);
void count_copy_to_host(int64_t bytes);

/// Kernels of a device that wait for those of others, which do not come to an end before they do.
void begin_waiting(c10::DeviceIndex index);
void end_waiting(c10::DeviceIndex index);

/// The CPU generator that one of the device's draws from.
at::Generator host_generator(const at::Generator &generator);

}  // namespace stand_in
