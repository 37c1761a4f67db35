// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <omnibus/omnibus.hpp>

// A context for stages that are measured without a bus.

namespace bench {

class NoContext final : public omnibus::DeliveryContext {
 public:
  omnibus::Result<omnibus::Receipt> publish(std::string_view, const omnibus::MessageView&) override {
    return omnibus::Receipt{};
  }
  const omnibus::Clock& clock() const noexcept override { return clock_; }
  std::string_view group() const noexcept override { return "bench"; }
  std::uint64_t random() noexcept override { return 0; }
  void report(const omnibus::Error*) override {}
  void notify(omnibus::DeliveryEvent, const omnibus::Delivery&, const omnibus::Error*) override {}

 private:
  omnibus::SystemClock clock_;
};

}  // namespace bench
