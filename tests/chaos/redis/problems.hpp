// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "suite.hpp"

namespace chaos {

using namespace conformance;

/// Notes what observers are told of subscriptions.
struct Problems {
  void consumer(std::string_view, std::string_view, const ob::Error* problem) {
    std::lock_guard lock{mutex};
    if (problem != nullptr) told.append(problem->message()).append("\n");
  }
  std::string words() {
    std::lock_guard lock{mutex};
    return told;
  }
  std::mutex mutex;
  std::string told;
};

}  // namespace chaos
