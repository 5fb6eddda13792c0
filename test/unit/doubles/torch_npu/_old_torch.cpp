// What torch 2.1 takes from C++ only of a device that a package adds: _old_torch.py builds and loads this.
//
// - A device guard: autograd asks it for the device's number and stream. There is one stream.
// - The same memory under another device's name, which later releases take from DLPack.

#include <ATen/ops/from_blob.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

constexpr auto kNpu = c10::DeviceType::PrivateUse1;
c10::DeviceIndex current = 0;
c10::DeviceIndex devices = 1;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kNpu; }
  c10::DeviceIndex deviceCount() const noexcept override { return devices; }
  c10::Device getDevice() const override { return {kNpu, current}; }
  void setDevice(c10::Device device) const override { uncheckedSetDevice(device); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.has_index()) current = device.index();
  }
  c10::Device exchangeDevice(c10::Device device) const override {
    const auto before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Stream getStream(c10::Device device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, device.has_index() ? device : getDevice());
  }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

at::Tensor as_device(const at::Tensor& tensor, int64_t index) {
  const auto device = index < 0 ? c10::Device(c10::kCPU) : c10::Device(kNpu, index);
  return at::for_blob(tensor.data_ptr(), tensor.sizes())
      .strides(tensor.strides())
      .deleter([tensor](void*) {})  // The memory lives as long as either tensor.
      .options(tensor.options().device(device))
      .target_device(device)
      .make_tensor();
}

}  // namespace

TORCH_LIBRARY(simulated_npu, m) {
  m.def("as_device(Tensor tensor, int index) -> Tensor", as_device);
  m.def("set_device_count(int count) -> ()", [](int64_t count) { devices = count; });
  m.def("set_device(int index) -> ()", [](int64_t index) { current = index; });
}
